"""The front: an event loop that accepts, reads, parses, limits, writes and logs, whoever is called."""
