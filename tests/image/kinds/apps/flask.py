from flask import Flask


def create_app(name="Flask"):
    app = Flask(__name__)

    @app.get("/")
    def index():
        return name

    return app


async def create_app_later():
    return create_app()


def create_app_that_fails():
    return Flask(__name__, static="files")


app = create_app()
