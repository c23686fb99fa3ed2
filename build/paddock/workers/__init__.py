"""The worker classes of the image."""
