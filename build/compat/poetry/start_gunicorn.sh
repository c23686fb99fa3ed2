#!/bin/sh
# Serves app.main:app as max-pfeiffer/uvicorn-gunicorn-poetry does.
set -e

# What the health check tells by that a server is to come.
[ "${1-}" = paddock ] || exec run-as-paddock "$0" paddock serve

echo "Activating virtual environment..."
# shellcheck disable=SC1091
. "$VIRTUAL_ENVIRONMENT_PATH/bin/activate"

# What the file makes of BIND is no contradiction of it.
export BIND="${BIND:-0.0.0.0:8000}"
exec paddock serve -k uvicorn.workers.UvicornWorker -c /application_server/gunicorn_configuration.py app.main:app
