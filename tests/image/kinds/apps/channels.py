from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.urls import path

from .django import asgi


class Echo(AsyncWebsocketConsumer):
    async def receive(self, text_data=None, bytes_data=None):
        await self.send(text_data=text_data)
        await self.close()


app = ProtocolTypeRouter({"http": asgi, "websocket": URLRouter([path("ws", Echo.as_asgi())])})
