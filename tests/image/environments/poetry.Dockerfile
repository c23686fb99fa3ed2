FROM paddock:3.14 AS poetry
RUN --mount=type=cache,target=/home/paddock/.cache/uv,uid=10001 \
    --mount=type=bind,source=requirements-poetry.txt,target=requirements-poetry.txt \
    --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt,mode=0444 \
    uv venv ~/poetry && uv pip install --python ~/poetry --requirements requirements-poetry.txt


FROM paddock:3.14 AS build
ENV REQUESTS_CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt
RUN --mount=type=cache,target=/home/paddock/.cache,uid=10001 \
    --mount=type=bind,from=poetry,source=/home/paddock/poetry,target=/home/paddock/poetry \
    --mount=type=bind,source=pyproject.toml,target=pyproject.toml \
    --mount=type=bind,source=poetry.lock,target=poetry.lock \
    --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt,mode=0444 \
    ~/poetry/bin/poetry install --only main --no-root && uv pip uninstall pip


FROM paddock:3.14-slim
COPY --from=build --chown=0:0 --chmod=go-w /opt/venv /opt/venv
COPY . .
