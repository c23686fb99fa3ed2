from a2wsgi import ASGIMiddleware, WSGIMiddleware

from . import bare

asgi = WSGIMiddleware(bare.wsgi)
wsgi = ASGIMiddleware(bare.asgi)
