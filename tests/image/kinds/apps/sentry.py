import sentry_sdk
from sentry_sdk.integrations.asgi import SentryAsgiMiddleware
from sentry_sdk.integrations.wsgi import SentryWsgiMiddleware

from . import bare

# Not for every framework that happens to be installed.
sentry_sdk.init(auto_enabling_integrations=False)
asgi = SentryAsgiMiddleware(bare.asgi)
wsgi = SentryWsgiMiddleware(bare.wsgi)
