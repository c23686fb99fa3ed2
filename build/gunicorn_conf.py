"""Gunicorn's settings, from the environment, for `gunicorn -c` with this file: `./dev docs` makes it of the table.

What is wrong with a variable is said on stderr and ends the process with 78.
"""

from paddock.settings.certificates import ssl_context  # noqa: F401  (Gunicorn's hook)
from paddock.start.messages import settings_or_exit

settings = settings_or_exit()

wsgi_app = settings.wsgi_app

workers = settings.workers
threads = settings.threads
worker_class = settings.worker_class
timeout = settings.timeout
graceful_timeout = settings.graceful_timeout
max_requests = settings.max_requests
max_requests_jitter = settings.max_requests_jitter
preload_app = settings.preload_app
worker_tmp_dir = settings.worker_tmp_dir

bind = settings.bind
keepalive = settings.keepalive

limit_request_line = settings.limit_request_line
limit_request_fields = settings.limit_request_fields
limit_request_field_size = settings.limit_request_field_size

forwarded_allow_ips = settings.forwarded_allow_ips
root_path = settings.root_path
proxy_protocol = settings.proxy_protocol
proxy_allow_ips = settings.proxy_allow_ips

certfile = settings.certfile
keyfile = settings.keyfile
ca_certs = settings.ca_certs
cert_reqs = settings.cert_reqs
ciphers = settings.ciphers

loglevel = settings.loglevel
accesslog = settings.accesslog
errorlog = settings.errorlog
access_log_format = settings.access_log_format

reload = settings.reload

# Every other setting that was given as GUNICORN_<NAME>, and the image's own.
globals().update(settings.other)
