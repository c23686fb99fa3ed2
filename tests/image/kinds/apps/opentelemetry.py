from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware as OpenTelemetryWsgiMiddleware

from . import bare

asgi = OpenTelemetryMiddleware(bare.asgi)
wsgi = OpenTelemetryWsgiMiddleware(bare.wsgi)
