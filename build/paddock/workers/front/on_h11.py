"""Uvicorn's HTTP/1.1 protocol on h11, with limits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from paddock.http.heads import malformed
from paddock.http.limits import Limits
from paddock.workers.front.cycle import failing
from paddock.workers.front.protocols import BODY, FED_AT_ONCE, HEAD, Flow, Limited


class BoundedConnection(h11.Connection):
    """Raises for a head beyond the limits, as h11 does for one that it cannot understand."""

    @property
    def is_full(self) -> bool:
        """Whether as much waits behind a request as the other parser reads at once.

        What waits is text here, until its turn comes; that `trailing_data` has a copy of, at each request.
        """
        return len(self._receive_buffer) > FED_AT_ONCE

    def __init__(self, limits: Limits, largest: int, on_head: Callable[[], None]) -> None:
        super().__init__(h11.SERVER, largest)
        self.limits = limits
        self.on_head = on_head
        self.status = 400
        self.reason = "no valid HTTP/1.1"

    def next_event(self) -> Any:
        """Return the next event.

        Raises:
            RemoteProtocolError: when the client is to be refused with `status`.
        """
        try:
            event = super().next_event()
        except h11.RemoteProtocolError as error:
            self.status, self.reason = error.error_status_hint, str(error)
            if self.line_is_endless():
                self.status = 414
            raise
        if event is h11.NEED_DATA and self.line_is_endless():
            self.status, self.reason = 414, f"a longer request line than LIMIT_REQUEST_LINE, {self.limits.line}"
            raise h11.RemoteProtocolError(self.reason, self.status)
        if type(event) is h11.Request:
            self.on_head()
            if event.method == b"CONNECT":
                # h11 takes the answer for the end of HTTP, and Uvicorn fails to write its body.
                self.status, self.reason = 501, "CONNECT, which is for proxies"
                raise h11.RemoteProtocolError(self.reason, self.status)
            fields = list(event.headers)
            line = len(event.method) + len(event.target) + len("  HTTP/1.1")
            if refusal := self.limits.refusal(line, fields) or malformed(event.http_version.decode(), fields):
                self.status, self.reason = refusal
                raise h11.RemoteProtocolError(self.reason, self.status)
        return event

    def line_is_endless(self) -> bool:
        """Tell whether what came so far is part of a request line that is too long already."""
        allowed = self.limits.line
        if not allowed or self.their_state not in (h11.IDLE, h11.ERROR):
            return False
        data = self.trailing_data[0]
        return len(data) > allowed + 4 and b"\n" not in data[: allowed + 4].lstrip()


class H11(Limited, H11Protocol):  # type: ignore[misc]
    """With h11, which keeps a head until it is complete, and bounds it."""

    conn: BoundedConnection
    flow: Flow

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        largest = self.config.h11_max_incomplete_event_size or self.limits.head
        self.conn = BoundedConnection(self.limits, largest, self.on_head)

    def on_head(self) -> None:
        """A head is complete: the time of another one counts anew."""
        self.watched = None
        if not self.follows:
            self.follow()
        if self.cycle is not None and self.cycle.response_complete:
            # Uvicorn does not take note of the end of a body that came after the answer.
            self.cycle.more_body = False

    def stage(self) -> str | None:
        """Return which part of a request is incomplete, if any."""
        state = self.conn.their_state
        if state is h11.IDLE:
            return HEAD if self.cycle is None or self.conn.trailing_data[0] else None
        if state is h11.SEND_BODY and not self.cycle.response_complete:
            return BODY
        return None

    def has_begun(self) -> bool:
        """Tell whether a byte of the head that is due has come."""
        return bool(self.conn.trailing_data[0])

    def handle_events(self) -> None:
        """Go on with what has come; read no more where enough waits behind a request."""
        try:
            super().handle_events()
        except Exception as error:
            # The loop's task factory has failed.
            cycle: Any = self.cycle
            if cycle is None or cycle.response_complete or cycle in cycle.in_flight:
                raise
            task = asyncio.Task(cycle.run(failing(error)), loop=self.loop)
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
        self.flow.full = self.conn.their_state is h11.DONE and self.conn.is_full and not self.refused

    def on_response_complete(self) -> None:
        """Go on with what waits."""
        self.flow.full = False
        super().on_response_complete()
        if self.half_closed is not None and self.cycle.response_complete:
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Refuse what the parser could not understand or what exceeds a limit."""
        if not self.refused:
            self.refuse(self.conn.status, self.conn.reason)
