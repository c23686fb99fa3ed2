"""Flask, of any year."""

import seen
from flask import Flask, Response, request

app = Flask(__name__)


@app.get("/", defaults={"path": ""})
@app.get("/<path:path>")
def page(path):
    return Response(seen.PAGES[request.path](), mimetype="application/json")
