FROM paddock:3.14
RUN --mount=type=cache,target=/home/paddock/.cache/pip,uid=10001 \
    --mount=type=bind,source=requirements.txt,target=requirements.txt \
    --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt,mode=0444 \
    pip install --requirement requirements.txt
COPY . .
