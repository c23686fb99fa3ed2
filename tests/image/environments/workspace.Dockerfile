FROM paddock:3.14
RUN --mount=type=cache,target=/home/paddock/.cache/uv,uid=10001 \
    --mount=type=bind,source=.,target=. \
    --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt,mode=0444 \
    uv sync --locked --no-dev --package shop --no-install-workspace
COPY --chown=10001:0 . .
# hadolint ignore=DL3022 # a context of the bake target
COPY --from=application main.py packages/shop/src/shop/
RUN --mount=type=cache,target=/home/paddock/.cache/uv,uid=10001 \
    --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt,mode=0444 \
    uv sync --locked --no-dev --package shop
ENV APP_MODULE=shop.main:app
