FROM paddock:3.14 AS build
USER 0
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=tmpfs,target=/var/lib/apt/lists \
    apt-get update && apt-get install -y --no-install-recommends \
    gcc libc6-dev pkg-config default-libmysqlclient-dev libpq-dev
USER 10001:0
RUN --mount=type=cache,target=/home/paddock/.cache/uv,uid=10001 \
    --mount=type=bind,source=requirements.txt,target=requirements.txt \
    --mount=type=bind,source=requirements-build.txt,target=requirements-build.txt \
    --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt,mode=0444 \
    uv pip install --requirements requirements.txt --build-constraints requirements-build.txt && \
    uv pip uninstall pip


FROM paddock:3.14-slim
USER 0
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=tmpfs,target=/var/lib/apt/lists \
    apt-get update && apt-get install -y --no-install-recommends libmariadb3 libpq5
USER 10001:0
COPY --from=build --chown=0:0 --chmod=go-w /opt/venv /opt/venv
COPY . .
