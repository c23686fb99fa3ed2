"""FastAPI's hello, as its documentation begins: https://fastapi.tiangolo.com/tutorial/first-steps/"""

from fastapi import FastAPI

app = FastAPI()


@app.get("/")
async def hello():
    """Answer with a small object."""
    return {"hello": "world"}
