"""The project over ASGI: APP_MODULE=timing.asgi:application."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "timing.settings")
application = get_asgi_application()
