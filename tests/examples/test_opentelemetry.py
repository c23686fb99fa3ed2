"""The OpenTelemetry example: spans of several workers arrive at a collector, those of a stopping one too."""

import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from conftest import wait_until

ON_TOP = """
services:
  app:
    environment:
      WORKERS: 3
      PRELOAD_APP: "{preload}"
      OTEL_EXPORTER_OTLP_ENDPOINT: {collector}
    network_mode: bridge
    ports: !reset []
"""


class Collector(ThreadingHTTPServer):
    """Takes what comes by OTLP: https://opentelemetry.io/docs/specs/otlp/#otlphttp"""

    def __init__(self, host):
        super().__init__((host, 0), Receiver)
        self.spans = []
        self.services = set()


class Receiver(BaseHTTPRequestHandler):
    """Reads one request of an exporter."""

    def do_POST(self):
        assert self.path == "/v1/traces"
        assert self.headers["Content-Type"] == "application/x-protobuf"
        request = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["Content-Length"])))
        for resource in request.resource_spans:
            attributes = {each.key: each.value.string_value for each in resource.resource.attributes}
            self.server.services.add(attributes["service.name"])
            self.server.spans += [span for scope in resource.scope_spans for span in scope.spans]
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.end_headers()
        self.wfile.write(ExportTraceServiceResponse().SerializeToString())

    def log_message(self, *arguments):
        pass


@pytest.fixture
def collector(engine):
    """A collector on this side of Docker's network."""
    [network] = [each for each in engine.networks.list(names=["bridge"]) if each.name == "bridge"]
    server = Collector(network.attrs["IPAM"]["Config"][0]["Gateway"])
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def jobs(collector):
    """How many spans of the crew's each worker has sent, by its pid."""
    named = [span for span in collector.spans if span.name in ("jack", "wheels", "release")]
    return Counter(next(a.value.int_value for a in span.attributes if a.key == "process.pid") for span in named)


@pytest.mark.parametrize("preload", ["false", "true"])
def test_spans_of_several_workers(compose, collector, preload):
    url = "http://{}:{}".format(*collector.server_address)
    project = compose("opentelemetry", ON_TOP.format(preload=preload, collector=url))
    # The threads that the instrumentation has in the arbiter end in the fork, which it knows how to mend.
    container = project.service("app").allow("PRELOAD_APP")
    answered = Counter()

    def ask():
        answered[container.post("/stops/ada").json()["pid"]] += 1
        return len(answered) == 3

    wait_until(ask, "answers of three workers")
    container.post("/stops/ada")
    assert container.stop() == 0
    container.assert_silent()

    sent = jobs(collector)
    assert set(sent) == set(answered)
    assert sum(sent.values()) == 3 * (sum(answered.values()) + 1), "what waited when the workers stopped came too"
    requests = [span for span in collector.spans if span.name == "POST /stops/{driver}"]
    assert len(requests) == sum(answered.values()) + 1
    assert collector.services == {"pit-stops"}
    parents = {span.span_id for span in requests}
    assert all(span.parent_span_id in parents for span in collector.spans if span.name == "jack")
