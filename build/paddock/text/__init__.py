"""How lines look, and where they go: what the first messages and the log share."""
