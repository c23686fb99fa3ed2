"""The settings: the table, and what the environment says of it."""
