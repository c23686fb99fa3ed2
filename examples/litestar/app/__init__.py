"""Plans pit stops."""
