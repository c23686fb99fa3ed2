"""The worker class for ASGI, on one event loop."""
