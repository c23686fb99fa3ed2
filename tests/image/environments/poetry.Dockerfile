FROM paddock:3.14 AS build
ENV REQUESTS_CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt
RUN --mount=type=cache,target=/home/paddock/.cache,uid=10001 \
    --mount=type=bind,source=pyproject.toml,target=pyproject.toml \
    --mount=type=bind,source=poetry.lock,target=poetry.lock \
    --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt,mode=0444 \
    uvx poetry==2.5.1 install --only main --no-root && uv pip uninstall pip


FROM paddock:3.14-slim
COPY --from=build --chown=0:0 --chmod=go-w /opt/venv /opt/venv
COPY . .
