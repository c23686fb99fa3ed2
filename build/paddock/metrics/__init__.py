"""METRICS_BIND: figures about requests and workers, for Prometheus, on a port of their own."""
