from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from . import bare

asgi = ProxyHeadersMiddleware(bare.asgi, trusted_hosts="*")
