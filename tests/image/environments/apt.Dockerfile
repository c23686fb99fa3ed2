FROM paddock:3.14
USER 0
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=tmpfs,target=/var/lib/apt/lists \
    apt-get update && apt-get install -y --no-install-recommends libpq5
USER 10001:0
RUN --mount=type=cache,target=/home/paddock/.cache/uv,uid=10001 \
    --mount=type=bind,source=requirements.txt,target=requirements.txt \
    --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt,mode=0444 \
    uv pip install --requirements requirements.txt
COPY . .
