"""The server side of the Paddock image: settings, start, workers and health check."""
