FROM paddock:3.14
RUN --mount=type=bind,source=pins,target=pins \
    --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt,mode=0444 \
    uv pip install --requirements pins/exact.txt
COPY pyproject.toml uv.lock ./
RUN --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt,mode=0444 \
    uv sync --locked --exact
COPY . .
