FROM paddock:3.14
RUN --mount=type=cache,target=/home/paddock/.cache/uv,uid=10001 \
    --mount=type=bind,source=requirements.txt,target=requirements.txt \
    --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt,mode=0444 \
    uv pip install --requirements requirements.txt
COPY --chown=10001:0 . .
RUN SECRET_KEY=only-for-the-build python manage.py collectstatic --no-input
