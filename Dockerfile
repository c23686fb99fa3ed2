# check=error=true

ARG PYTHON_VERSION=3.14
ARG UV_VERSION=0.13.8
ARG PIP_VERSION=26.3
ARG BASE_IMAGE=python:${PYTHON_VERSION}-slim-trixie

FROM ${BASE_IMAGE} AS base


# From PyPI, so that a build needs no registry but the base image's.
FROM base AS uv
ARG UV_VERSION
RUN --mount=type=cache,id=paddock-pip,target=/root/.cache/pip \
    --mount=type=secret,id=ca,target=/run/secrets/ca \
    --mount=type=secret,id=PIP_INDEX_URL,env=PIP_INDEX_URL <<'EOF'
    set -eu
    [ ! -e /run/secrets/ca ] || export SSL_CERT_FILE=/run/secrets/ca PIP_CERT=/run/secrets/ca
    python -m venv /tmp/pip
    /tmp/pip/bin/pip install --disable-pip-version-check --no-deps --only-binary :all: --target /tmp/uv "uv==$UV_VERSION"
    mkdir /uv
    mv /tmp/uv/bin/uv /tmp/uv/bin/uvx /uv
EOF


FROM base AS server
RUN --mount=type=cache,id=paddock-apt,target=/var/cache/apt,sharing=locked \
    --mount=type=tmpfs,target=/var/lib/apt/lists <<'EOF'
    set -eu
    apt-get update
    apt-get install -y --no-install-recommends binutils
EOF

ENV UV_PYTHON_DOWNLOADS=never \
    UV_LINK_MODE=copy
WORKDIR /src
COPY --link build/pyproject.toml build/uv.lock ./
RUN --mount=type=bind,from=uv,source=/uv,target=/uv \
    --mount=type=cache,id=paddock-uv,target=/root/.cache/uv \
    --mount=type=secret,id=ca,target=/run/secrets/ca \
    --mount=type=secret,id=UV_DEFAULT_INDEX,env=UV_DEFAULT_INDEX <<'EOF'
    set -eu
    [ ! -e /run/secrets/ca ] || export SSL_CERT_FILE=/run/secrets/ca
    # --frozen: with a mirror for an index, --locked would call the lock out of date; ./dev lint says whether it is.
    /uv/uv export --quiet --frozen --no-emit-project --output-file requirements.txt
    # --no-config: the override in pyproject.toml is for the lock file, and would loosen the pin that came of it.
    /uv/uv pip install --no-config --python /usr/local/bin/python --target /opt/paddock/lib \
        --no-build --no-deps --require-hashes --requirements requirements.txt
    rm -rf /opt/paddock/lib/bin /opt/paddock/lib/.lock
    find /opt/paddock/lib -name '*.so' -exec strip --strip-unneeded {} +
    # By hash, not by time: a pyc stays valid when the layer's timestamps are rewritten.
    python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/paddock/lib
EOF

COPY --link build/gunicorn_conf.py /opt/paddock/
COPY --link build/bin /opt/paddock/bin
COPY --link build/paddock paddock
# Installed, not copied: `pip list --path` and scanners of images find it by its metadata.
RUN --mount=type=bind,from=uv,source=/uv,target=/uv \
    --mount=type=cache,id=paddock-uv,target=/root/.cache/uv \
    --mount=type=secret,id=ca,target=/run/secrets/ca \
    --mount=type=secret,id=UV_DEFAULT_INDEX,env=UV_DEFAULT_INDEX <<'EOF'
    set -eu
    [ ! -e /run/secrets/ca ] || export SSL_CERT_FILE=/run/secrets/ca
    /uv/uv pip install --python /usr/local/bin/python --target /opt/paddock/lib --no-deps .
    # uv's notes on where and when it built this, and their hashes, would make every build another one.
    rm -f /opt/paddock/lib/.lock /opt/paddock/lib/paddock-*.dist-info/*.json /opt/paddock/lib/paddock-*.dist-info/RECORD
    ln -s paddock /opt/paddock/bin/gunicorn
    ln -s paddock /opt/paddock/bin/uvicorn
    ln -s "/usr/local/bin/$(python -c 'import sys; print("python%d.%d" % sys.version_info[:2])')" /opt/paddock/python
    # The modes of the checkout depend on somebody's umask.
    chmod -R u=rwX,go=rX /opt/paddock
    chmod 0755 /opt/paddock/bin/paddock
    python -m compileall -q --invalidation-mode unchecked-hash /opt/paddock/lib/paddock /opt/paddock/gunicorn_conf.py
EOF


FROM base AS venv
RUN --mount=type=bind,from=uv,source=/uv,target=/uv \
    /uv/uv venv --no-cache --python /usr/local/bin/python /opt/venv


FROM base AS slim
RUN <<'EOF'
    set -eu
    echo 'paddock:x:10001:0:Paddock:/home/paddock:/usr/sbin/nologin' >>/etc/passwd
    mkdir -p /docker-entrypoint.d /home/paddock
    # Whoever runs the container is the only user in it, and may be any.
    chmod 0777 /home/paddock
    # Nothing here becomes another user.
    find / -xdev \( -type f -o -type d \) -perm /6000 -exec chmod ug-s {} +
EOF

COPY --link --from=venv /opt/venv /opt/venv
COPY --link --from=server /opt/paddock /opt/paddock
ENV VIRTUAL_ENV=/opt/venv \
    UV_PROJECT_ENVIRONMENT=/opt/venv \
    PATH=/opt/venv/bin:/opt/paddock/bin:$PATH \
    HOME=/home/paddock \
    USER=paddock \
    LOGNAME=paddock \
    PYTHONUNBUFFERED=1
WORKDIR /app
# In numbers: Kubernetes cannot see that a name is not root.
USER 10001:0
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --start-interval=1s --retries=3 CMD ["/opt/paddock/bin/paddock", "health"]
# By their paths: the application's environment comes first in PATH, and may have a program of that name.
ENTRYPOINT ["/opt/paddock/bin/paddock"]
CMD ["serve"]
ARG BASE_IMAGE
LABEL org.opencontainers.image.title="Paddock" \
      org.opencontainers.image.description="Base image for Python web applications: Gunicorn, Uvicorn, and every setting an environment variable" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.base.name="${BASE_IMAGE}"


FROM slim AS full
USER 0
COPY --link --from=uv /uv/uv /uv/uvx /usr/local/bin/
ENV UV_CACHE_DIR=/home/paddock/.cache/uv \
    UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy \
    UV_PYTHON_DOWNLOADS=never \
    UV_SYSTEM_CERTS=1
ARG PIP_VERSION
RUN --mount=type=cache,id=paddock-uv,target=/root/.cache/uv \
    --mount=type=secret,id=ca,target=/run/secrets/ca \
    --mount=type=secret,id=UV_DEFAULT_INDEX,env=UV_DEFAULT_INDEX <<'EOF'
    set -eu
    [ ! -e /run/secrets/ca ] || export SSL_CERT_FILE=/run/secrets/ca
    UV_CACHE_DIR=/root/.cache/uv PYC_INVALIDATION_MODE=UNCHECKED_HASH uv pip install --no-build "pip==$PIP_VERSION"
    rm -f /opt/venv/.lock
    # `uv sync` leaves pip where the environment says that it was made with it.
    echo 'seed = true' >>/opt/venv/pyvenv.cfg
    # Where cache mounts go: a directory that a build makes for them would belong to root, and stay.
    mkdir -p "$UV_CACHE_DIR" /home/paddock/.cache/pip
    chown -R 10001:0 /app /home/paddock /opt/venv
    chmod -R g=u /app /home/paddock /opt/venv
    chmod -R a=rwX /home/paddock
EOF

USER 10001:0
