from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix

from . import bare

proxy_fix = ProxyFix(bare.wsgi)
dispatcher = DispatcherMiddleware(bare.wsgi, {"/sub": bare.wsgi})
