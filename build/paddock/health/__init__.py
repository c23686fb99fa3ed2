"""The health check, and the state that the server leaves for it."""
