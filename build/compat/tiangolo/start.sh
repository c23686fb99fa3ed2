#!/bin/sh
# Serves as tiangolo/uvicorn-gunicorn does: as many processes as /gunicorn_conf.py says, or a file in its place.
set -e

# shellcheck source=build/compat/tiangolo/prepare.sh
. /opt/paddock/compat/prepare.sh

conf=/gunicorn_conf.py
for file in /app/gunicorn_conf.py /app/app/gunicorn_conf.py; do
    if [ -f "$file" ]; then
        conf=$file
        break
    fi
done
export GUNICORN_CONF="${GUNICORN_CONF:-$conf}"
# What that file makes of HOST and PORT is no contradiction of them.
[ "$GUNICORN_CONF" != /gunicorn_conf.py ] || export BIND="${BIND:-${HOST:-0.0.0.0}:${PORT:-80}}"

exec paddock serve -k "${WORKER_CLASS:-uvicorn.workers.UvicornWorker}" -c "$GUNICORN_CONF" "$APP_MODULE"
