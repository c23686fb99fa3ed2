from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.wrappers import Request, Response

from . import bare

proxy_fix = ProxyFix(bare.wsgi)
dispatcher = DispatcherMiddleware(bare.wsgi, {"/sub": bare.wsgi})


@Request.application
def application(request):
    return Response("Werkzeug")


class Shop:
    @Request.application
    def __call__(self, request):
        return Response("Werkzeug")


shop = Shop()
