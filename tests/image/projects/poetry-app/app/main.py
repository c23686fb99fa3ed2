from litestar import Litestar, get


@get("/", media_type="text/plain")
async def home() -> str:
    return "served"


app = Litestar([home])
