"""A Flask application of 2023, which says what it sees."""

from importlib.metadata import version

from flask import Flask

app = Flask(__name__)


@app.get("/")
def index():
    return {name: version(name) for name in ("click", "flask", "gunicorn", "werkzeug")}
