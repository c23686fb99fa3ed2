"""Django's hello, over WSGI, without a database."""

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import JsonResponse
from django.urls import path

settings.configure(
    ALLOWED_HOSTS=["*"],
    # Every project has it, and it sets Content-Length, without which uWSGI keeps no connection alive.
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="for measuring",  # noqa: S106 # guards nothing
)


def hello(request):
    """Answer with a small object."""
    return JsonResponse({"hello": "world"})


urlpatterns = [path("", hello)]
app = get_wsgi_application()
