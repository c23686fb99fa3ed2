FROM paddock:3.14
COPY --chown=10001:0 . .
# hadolint ignore=DL3022 # a context of the bake target
COPY --from=application main.py src/shop/
RUN --mount=type=cache,target=/home/paddock/.cache/uv,uid=10001 \
    --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt,mode=0444 \
    uv sync --locked
