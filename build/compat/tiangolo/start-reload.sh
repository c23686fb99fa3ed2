#!/bin/sh
# Serves with one process that restarts when a file below /app changes, as /start-reload.sh of tiangolo/uvicorn-gunicorn.
set -e

# shellcheck source=build/compat/tiangolo/prepare.sh
. /opt/paddock/compat/prepare.sh

exec paddock serve --reload --workers 1 -c /opt/paddock/compat/reload_conf.py --bind "${BIND:-${HOST:-0.0.0.0}:${PORT:-80}}" "$APP_MODULE"
