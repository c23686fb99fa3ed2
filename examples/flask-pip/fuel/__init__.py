"""How much fuel a race needs, and where to stop for it."""

import atexit

from flask import Flask, jsonify, render_template, request
from werkzeug.exceptions import HTTPException

from fuel import api, pages


def create_app() -> Flask:
    """Return the application; the image finds this factory and calls it once in each worker."""
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = 16 * 1024
    app.register_blueprint(pages.blueprint)
    app.register_blueprint(api.blueprint, url_prefix="/api")
    app.register_error_handler(HTTPException, show_error)
    # A real application flushes its telemetry here.
    atexit.register(app.logger.info, "closed")
    return app


def show_error(error: HTTPException) -> tuple:
    """Answer what went wrong: programs get JSON, people a page."""
    # Not by the blueprint: an address that is nowhere belongs to none.
    if request.path.startswith("/api/"):
        return jsonify(error=error.description), error.code
    return render_template("error.html", error=error), error.code
