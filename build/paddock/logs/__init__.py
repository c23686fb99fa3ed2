"""One format for everything that the servers, the image and Python's logging print."""
