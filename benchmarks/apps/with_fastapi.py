"""FastAPI's hello."""

from fastapi import FastAPI

app = FastAPI()


@app.get("/")
async def hello() -> dict[str, str]:
    """Answer with a small object."""
    return {"hello": "world"}
