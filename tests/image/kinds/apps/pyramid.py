from pyramid.config import Configurator
from pyramid.response import Response


def index(request):
    return Response("Pyramid")


with Configurator() as config:
    config.add_route("index", "/")
    config.add_view(index, route_name="index")
    app = config.make_wsgi_app()
