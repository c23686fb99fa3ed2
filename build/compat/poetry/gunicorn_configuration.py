"""Gunicorn's settings by the variables of max-pfeiffer/uvicorn-gunicorn-poetry, with that image's defaults.

https://github.com/max-pfeiffer/uvicorn-gunicorn-poetry#configuration
"""

import os

bind = os.environ.get("BIND", "0.0.0.0:8000")
workers = int(os.environ.get("WORKERS", "1"))
timeout = int(os.environ.get("TIMEOUT", "30"))
graceful_timeout = int(os.environ.get("GRACEFUL_TIMEOUT", "30"))
keepalive = int(os.environ.get("KEEP_ALIVE", "2"))
