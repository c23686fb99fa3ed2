from asgiref.wsgi import WsgiToAsgi

from . import bare

asgi = WsgiToAsgi(bare.wsgi)
