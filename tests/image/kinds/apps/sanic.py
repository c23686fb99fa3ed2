from sanic import Sanic, text

app = Sanic("shop")


@app.get("/")
async def index(request):
    return text("Sanic")


@app.websocket("/ws")
async def echo(request, websocket):
    await websocket.send(await websocket.recv())


@app.before_server_start
async def startup(app):
    print("startup", flush=True)


@app.after_server_stop
async def shutdown(app):
    print("shutdown", flush=True)
