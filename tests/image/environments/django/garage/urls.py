from django.http import JsonResponse
from django.templatetags.static import static
from django.urls import path

urlpatterns = [path("", lambda request: JsonResponse({"style": static("garage/style.css")}))]
