"""What the image knows of a request, whoever serves it: its record, its id, its client, its limits."""
