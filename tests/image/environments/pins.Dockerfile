FROM paddock:3.14
ARG PINS
RUN --mount=type=cache,target=/home/paddock/.cache/uv,uid=10001 \
    --mount=type=bind,source=pins,target=pins \
    --mount=type=bind,source=requirements.txt,target=requirements.txt \
    --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt,mode=0444 \
    uv pip install --no-build --requirements requirements.txt --requirements "pins/$PINS.txt"
COPY . .
