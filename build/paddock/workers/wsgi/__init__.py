"""The worker class for WSGI, on a pool of threads."""
