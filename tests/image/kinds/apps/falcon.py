import falcon
import falcon.asgi


class Index:
    def on_get(self, request, response):
        response.text = "Falcon"
        response.content_type = falcon.MEDIA_TEXT


class AsyncIndex:
    async def on_get(self, request, response):
        Index().on_get(request, response)


class Echo:
    async def on_websocket(self, request, websocket):
        await websocket.accept()
        await websocket.send_text(await websocket.receive_text())
        await websocket.close()


class Lifespan:
    async def process_startup(self, scope, event):
        print("startup", flush=True)

    async def process_shutdown(self, scope, event):
        print("shutdown", flush=True)


wsgi = falcon.App()
wsgi.add_route("/", Index())
asgi = falcon.asgi.App(middleware=[Lifespan()])
asgi.add_route("/", AsyncIndex())
asgi.add_route("/ws", Echo())
