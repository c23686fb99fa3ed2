import falcon


class Home:
    def on_get(self, request, response):
        response.text = "served"


def create_app():
    app = falcon.App()
    app.add_route("/", Home())
    return app
