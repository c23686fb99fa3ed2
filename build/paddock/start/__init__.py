"""The start of the server: hooks, messages before there is a logger, the configuration in layers."""
