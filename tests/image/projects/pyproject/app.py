from bottle import default_app, route


@route("/")
def home():
    return "served"


app = default_app()
