#!/bin/sh
# Runs black of the application's environment, for a stage that is an image of its own.
set -e

# shellcheck disable=SC1091
. /application_root/.venv/bin/activate
exec black "$@"
