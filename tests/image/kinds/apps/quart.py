from quart import Quart, websocket

app = Quart(__name__)


@app.get("/")
async def index():
    return "Quart"


@app.websocket("/ws")
async def echo():
    await websocket.send(await websocket.receive())


@app.before_serving
async def startup():
    print("startup", flush=True)


@app.after_serving
async def shutdown():
    print("shutdown", flush=True)
