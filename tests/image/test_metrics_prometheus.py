"""What the real Prometheus makes of the page, under load, while workers are replaced."""

import pytest

from conftest import wait_until
from load import Load
from prometheus import Prometheus


@pytest.mark.smoke
@pytest.mark.parametrize("app", ["echo_asgi.py", "echo_wsgi.py"])
def test_its_figures_equal_the_clients(start, tools, tmp_path, app):
    environment = {"METRICS_BIND": "0.0.0.0:9090", "WORKERS": "2", "MAX_REQUESTS": "800", "GRACEFUL_TIMEOUT": "20"}
    container = start(app, environment=environment).wait_ready()
    prometheus = Prometheus(start, tools, tmp_path, container)
    prometheus.wait_for_scrape()

    with Load(container.address, least=4000) as load:
        for name in ("HUP", "TTIN", "TTOU", "HUP"):
            container.signal(name)
            load.wait_more(500)
            prometheus.wait_for_scrape()
    assert load.report.lost == 0, load.report
    prometheus.wait_for_scrape()

    total = load.report.total
    assert prometheus.value("sum(paddock_http_requests_total)") == total
    assert prometheus.value('sum(paddock_http_requests_total{status="2xx"})') == total
    assert prometheus.value("sum(paddock_http_request_duration_seconds_count)") == total
    assert prometheus.value('sum(paddock_http_request_duration_seconds_bucket{le="+Inf"})') == total
    assert prometheus.value("paddock_http_requests_in_flight") == 0
    for name in ("http_requests_total", "http_request_duration_seconds_bucket", "http_response_body_bytes_total"):
        assert prometheus.value(f"sum(resets(paddock_{name}[1h]))") == 0
    assert prometheus.value('sum(paddock_worker_restarts_total{reason=~"recycled|reload"})') >= 4
    wait_until(lambda: prometheus.value('paddock_workers{state="serving"}') == 2, "two workers")
