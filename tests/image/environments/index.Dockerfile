FROM paddock:3.14
RUN --mount=type=secret,id=UV_DEFAULT_INDEX,env=UV_DEFAULT_INDEX,required=true \
    --mount=type=bind,source=requirements.txt,target=requirements.txt \
    --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt,mode=0444 \
    uv pip install --requirements requirements.txt
COPY . .
