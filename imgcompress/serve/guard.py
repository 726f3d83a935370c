"""What stands between the socket and the routes: the token, limits of bodies, a net for faults, counts."""

import asyncio
import hmac
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from imgcompress.serve.answers import COME_AGAIN, RequestError, as_request_error, error_response
from imgcompress.serve.metrics import Metrics
from imgcompress.serve.options import ServeOptions

MAX_HEADER_BYTES = 16_384
"""Of the path, the query and the headers of a request."""
OPEN_TO_ALL = frozenset({"/healthz", "/readyz"})
_ROUTES = frozenset({"/compress", "/compare", "/inspect", "/metrics", "/images", *OPEN_TO_ALL})


class Guard:
    """An application around another: asks for the token, answers what nobody caught, counts.

    Args:
        app: the routes.
        token: what clients must send as ``Authorization: Bearer``; None for no such thing.
        metrics: counts requests.
    """

    def __init__(self, app: ASGIApp, token: str | None, metrics: Metrics) -> None:
        self._app = app
        self._expected = None if token is None else token.encode("ascii")
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 0

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-content-type-options", b"nosniff")]
            await send(message)

        try:
            _check_header(scope)
            self._check_token(scope)
            await self._app(scope, receive, send_on)
        except Exception as error:
            # The routes' own handler has answered already where it could: then this is only told on.
            if status == 0:
                await error_response(as_request_error(error))(scope, receive, send_on)
        finally:
            path = scope["path"]
            first = "/" + path.split("/")[1] if path.startswith("/") else ""
            route = first if first in _ROUTES else "other"
            self._metrics.requests.labels(route, str(status)).inc()
            self._metrics.seconds.labels(route).observe(time.perf_counter() - started)

    def _check_token(self, scope: Scope) -> None:
        if self._expected is None or scope["path"] in OPEN_TO_ALL:
            return
        for name, value in scope["headers"]:
            if name == b"authorization":
                scheme, _, token = value.partition(b" ")
                if scheme.lower() == b"bearer" and hmac.compare_digest(token.strip(), self._expected):
                    return
        message = "the token is missing or wrong"
        raise RequestError(401, "unauthorized", message, {"WWW-Authenticate": "Bearer"})


def _check_header(scope: Scope) -> None:
    # h11 counts only what comes in pieces; what comes at once may be many times as long.
    size = len(scope["raw_path"]) + len(scope["query_string"])
    size += sum(len(name) + len(value) for name, value in scope["headers"])
    if size > MAX_HEADER_BYTES:
        raise RequestError(431, "header_too_large", f"the header has more than {MAX_HEADER_BYTES} bytes")


class BodyMemory:
    """Counts the bytes of all bodies in memory.

    Args:
        limit: most bytes together.
    """

    def __init__(self, limit: int) -> None:
        self._left = limit

    @contextmanager
    def share(self) -> Iterator[Callable[[int], None]]:
        """One request's part of it: a function that takes bytes; all are given back at the end.

        Raises:
            RequestError: 503 from the function, there are not so many.
        """
        taken = 0

        def take(count: int) -> None:
            nonlocal taken
            if count > self._left:
                message = "too many bytes are being sent by others"
                raise RequestError(503, "busy", message, COME_AGAIN)
            taken += count
            self._left -= count

        try:
            yield take
        finally:
            self._left += taken


def with_limits(request: Request, options: ServeOptions, take: Callable[[int], None]) -> Request:
    """A request whose body comes within the limits of size and time, or raises.

    Args:
        request: nothing of its body has been read.
        options: the limits.
        take: told of the bytes that come.

    Raises:
        RequestError: 413 at once where a length is declared. On reading: 413; 408, the sender is slow;
            whatever ``take`` raises.
    """
    limit = options.max_upload
    too_large = RequestError(413, "too_large", f"the body has more than {limit} bytes")
    if int(request.headers.get("content-length", "0")) > limit:
        raise too_large
    loop = asyncio.get_running_loop()
    end = loop.time() + options.upload_seconds
    received = 0

    async def receive() -> Message:
        nonlocal received
        try:
            async with asyncio.timeout_at(min(end, loop.time() + options.read_seconds)):
                message = await request.receive()
        except TimeoutError:
            raise RequestError(408, "slow_sender", "the body does not come fast enough") from None
        size = len(message.get("body", b""))
        received += size
        if received > limit:
            raise too_large
        take(size)
        return message

    return Request(request.scope, receive)
