from whitenoise import WhiteNoise

from . import bare

app = WhiteNoise(bare.wsgi, root="/app/apps", prefix="static")
