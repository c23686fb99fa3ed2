from blacksheep import Application, WebSocket, get, ws

app = Application()


@get("/")
async def index():
    return "BlackSheep"


@ws("/ws")
async def echo(websocket: WebSocket):
    await websocket.accept()
    await websocket.send_text(await websocket.receive_text())
    await websocket.close()


@app.on_start
async def startup():
    print("startup", flush=True)


@app.on_stop
async def shutdown():
    print("shutdown", flush=True)
