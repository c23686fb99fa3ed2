import json
import logging

from opentelemetry import trace
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware as OpenTelemetryWsgiMiddleware
from opentelemetry.sdk.trace import TracerProvider

from . import bare

asgi = OpenTelemetryMiddleware(bare.asgi)
wsgi = OpenTelemetryWsgiMiddleware(bare.wsgi)


async def traced(scope, receive, send):
    """Logs in a span, and answers with what the span is called."""
    assert scope["type"] == "http"
    with TracerProvider().get_tracer("test").start_as_current_span("a span") as span:
        logging.getLogger("shop").warning("in a span")
        context = span.get_span_context()
    seen = {"trace_id": trace.format_trace_id(context.trace_id), "span_id": trace.format_span_id(context.span_id)}
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(seen).encode()})
