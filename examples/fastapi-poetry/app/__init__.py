"""Championship standings."""
