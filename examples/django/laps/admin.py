"""Laps in Django's own back office."""

from django.contrib import admin

from laps.models import Lap


@admin.register(Lap)
class LapAdmin(admin.ModelAdmin):
    """The list of laps."""

    list_display = ["driver", "seconds", "driven_at"]
