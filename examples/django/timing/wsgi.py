"""The project over WSGI, which the image finds through manage.py."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "timing.settings")
application = get_wsgi_application()
