import os
from pathlib import Path

SECRET_KEY = os.environ["SECRET_KEY"]
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "garage.urls"
WSGI_APPLICATION = "garage.wsgi.application"
INSTALLED_APPS = ["django.contrib.staticfiles", "garage"]
MIDDLEWARE = ["whitenoise.middleware.WhiteNoiseMiddleware"]
STATIC_URL = "static/"
# Beside what was copied, as in many projects: COPY without --chown would leave the folder root's.
STATIC_ROOT = Path(__file__).resolve().parent / "collected" / "static"
STORAGES = {"staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"}}
