"""Static files by WhiteNoise, over WSGI and over ASGI."""

import asyncio
from collections.abc import AsyncIterator
from typing import BinaryIO

from django.core.handlers.asgi import ASGIRequest
from django.http import FileResponse, HttpRequest
from whitenoise.middleware import WhiteNoiseMiddleware
from whitenoise.responders import Redirect, StaticFile

CHUNK = 65536


class StaticFilesMiddleware(WhiteNoiseMiddleware):
    """WhiteNoise knows WSGI only: over ASGI Django would read each file whole, and warn.

    https://github.com/evansd/whitenoise/issues/531
    """

    @staticmethod
    def serve(static_file: StaticFile | Redirect, request: HttpRequest) -> FileResponse:
        """Return the answer to a request for a static file."""
        response = WhiteNoiseMiddleware.serve(static_file, request)
        if isinstance(request, ASGIRequest):
            response.streaming_content = chunks(response.file_to_stream)
        return response


async def chunks(file: BinaryIO | None) -> AsyncIterator[bytes]:
    """Yield what `file` holds, without blocking the event loop; an answer without a body has none."""
    while file and (chunk := await asyncio.to_thread(file.read, CHUNK)):
        yield chunk
