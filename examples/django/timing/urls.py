"""The addresses of the project."""

from django.contrib import admin
from django.urls import path

from laps import views

urlpatterns = [
    path("", views.board),
    path("laps", views.laps),
    path("health", views.health),
    path("admin/", admin.site.urls),
]
