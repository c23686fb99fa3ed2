# shellcheck shell=sh
# What /start.sh and /start-reload.sh begin with: the application's name, and the script that runs before it.
# https://github.com/tiangolo/uvicorn-gunicorn-docker#environment-variables

# What the health check tells by that a server is to come.
[ "${1-}" = paddock ] || exec run-as-paddock "$0" paddock serve

# As PID 1 a shell would never hear of it.
trap 'exit 143' TERM

if [ -f /app/app/main.py ]; then
    module=app.main
else
    module=main
fi
export APP_MODULE="${APP_MODULE:-${MODULE_NAME:-$module}:${VARIABLE_NAME:-app}}"

PRE_START_PATH=${PRE_START_PATH:-/app/prestart.sh}
echo "Checking for script in $PRE_START_PATH"
if [ -f "$PRE_START_PATH" ]; then
    echo "Running script $PRE_START_PATH"
    # Sourced: what it exports, the server has.
    # shellcheck disable=SC1090
    . "$PRE_START_PATH"
else
    echo "There is no script $PRE_START_PATH"
fi
