from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path

settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="for tests only")


def index(request):
    return HttpResponse("Django", content_type="text/plain")


urlpatterns = [path("", index)]
asgi = get_asgi_application()
wsgi = get_wsgi_application()
