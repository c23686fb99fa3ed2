"""Flask's hello."""

from flask import Flask

app = Flask(__name__)


@app.get("/")
def hello():
    """Answer with a small object."""
    return {"hello": "world"}
