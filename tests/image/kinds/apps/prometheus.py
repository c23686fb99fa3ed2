from prometheus_client import make_asgi_app, make_wsgi_app

asgi = make_asgi_app()
wsgi = make_wsgi_app()
