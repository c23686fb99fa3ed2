FROM paddock:3.14
COPY --chown=10001:0 pyproject.toml uv.lock ./
RUN --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt,mode=0444 \
    uv sync --locked
COPY . .
