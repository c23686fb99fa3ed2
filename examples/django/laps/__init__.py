"""The board of lap times."""
