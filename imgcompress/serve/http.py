"""uvicorn's HTTP/1.1 with JSON errors, and without patience for who sends no header or takes no answer."""

import asyncio
import json
import sys
from typing import ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol


class HttpProtocol(H11Protocol):
    """One connection.

    Attributes:
        header_seconds: how long a connection may be without a request that is not answered yet, and how long
            a client may take nothing of its answer.
    """

    header_seconds: ClassVar[float] = 10.0
    _header_timer: asyncio.TimerHandle | None = None
    _is_refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Starts waiting for the first request."""
        super().connection_made(transport)
        self._expect_header()

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends waiting."""
        if self._header_timer is not None:
            self._header_timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Reads on, or throws away what follows what was no HTTP."""
        if not self._is_refused:
            super().data_received(data)

    def on_response_complete(self) -> None:
        """Starts waiting for the next request."""
        super().on_response_complete()
        self._expect_header()

    def send_400_response(self, msg: str) -> None:
        """Answers what is no HTTP; called while the parser's error is handled, which knows the status."""
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.close()  # an answer is under way
            return
        error = sys.exc_info()[1]
        status = getattr(error, "error_status_hint", 400)
        body = json.dumps({"error": {"reason": "bad_http", "message": str(error) or msg}}).encode()
        headers = [
            ("content-type", "application/json"),
            ("content-length", str(len(body))),
            ("connection", "close"),
        ]
        for event in (h11.Response(status_code=status, headers=headers), h11.Data(body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self._close_when_heard()

    def _close_when_heard(self) -> None:
        # Who closes with bytes unread resets the connection, and the client may never see the answer.
        self._is_refused = True
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.write_eof()
        if self._header_timer is not None:
            self._header_timer.cancel()
        self._header_timer = self.loop.call_later(self.header_seconds, self._close_refused)

    def _close_refused(self) -> None:
        self.transport.close()
        self._expect_reading(self.transport.get_write_buffer_size())

    def _expect_header(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
        self._header_timer = self.loop.call_later(self.header_seconds, self._close_without_header)

    def _close_without_header(self) -> None:
        # An answered request may still be sending its body, which is thrown away up to now.
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()
        # Even a closed connection lives on until its last byte is taken, however long that takes.
        self._expect_reading(self.transport.get_write_buffer_size())

    def _expect_reading(self, left: int) -> None:
        if left:
            self._header_timer = self.loop.call_later(self.header_seconds, self._end_if_stuck, left)

    def _end_if_stuck(self, before: int) -> None:
        left = self.transport.get_write_buffer_size()
        if left < before:
            self._expect_reading(left)
        else:
            self.transport.abort()
