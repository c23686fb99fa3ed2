"""The project: settings, addresses, and the application as WSGI and as ASGI."""
