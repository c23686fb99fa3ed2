#!/bin/sh
# Serves with the flags and the variables of Gunicorn's own image: `docker run IMAGE app:app --workers 4`
# https://github.com/benoitc/gunicorn/blob/master/docker/docker-entrypoint.sh
set -e

case ${1-} in
-* | *:*)
    export BIND="${GUNICORN_BIND:-${GUNICORN_HOST:-0.0.0.0}:${GUNICORN_PORT:-8000}}"
    [ -z "${GUNICORN_WORKERS-}" ] || export WORKERS="$GUNICORN_WORKERS"
    arguments=${GUNICORN_ARGS-}
    unset GUNICORN_BIND GUNICORN_HOST GUNICORN_PORT GUNICORN_WORKERS GUNICORN_ARGS
    # shellcheck disable=SC2086 # several arguments
    exec paddock serve $arguments "$@"
    ;;
esac

exec paddock "$@"
