"""Django, over WSGI and over ASGI."""

import django
import seen
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import re_path

settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="for a test")
django.setup()


def page(request):
    return HttpResponse(seen.PAGES[request.path](), content_type="application/json")


urlpatterns = [re_path("", page)]
wsgi = get_wsgi_application()
asgi = get_asgi_application()
