"""The application: finding it, loading it, telling what it is."""
