"""What the addresses answer."""

import os

from django.forms import modelform_factory
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from laps.models import Lap

LapForm = modelform_factory(Lap, fields=["driver", "seconds"])


@require_http_methods(["GET", "HEAD", "POST"])
def board(request: HttpRequest) -> HttpResponse:
    """Show the laps, and take a new one."""
    form = LapForm(request.POST or None)
    if form.is_valid():
        form.save()
        return redirect(board)
    status = 400 if form.is_bound else 200
    return render(request, "laps/board.html", {"form": form, "laps": Lap.objects.all()}, status=status)


@require_safe
async def laps(request: HttpRequest) -> JsonResponse:
    """Return the laps as JSON: a view that is a coroutine works over WSGI too."""
    return JsonResponse({"laps": [lap async for lap in Lap.objects.values("driver", "seconds")]})


@require_safe
def health(request: HttpRequest) -> JsonResponse:
    """Answer the health check: who serves, and how. Not the database: that one is not mended by a restart of this."""
    return JsonResponse({"interface": "ASGI" if hasattr(request, "scope") else "WSGI", "worker": os.getpid()})
