from webob import Response
from webob.dec import wsgify


@wsgify
def application(request):
    return Response("WebOb")


class Shop:
    @wsgify
    def __call__(self, request):
        return Response("WebOb")


shop = Shop()
