"""Errors as clients see them: ``{"error": {"reason": ..., "message": ...}}``."""

import logging
from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse

from imgcompress.compressor import as_picture_error
from imgcompress.errors import ImgcompressError, PictureError, Reason, UsageError

_log = logging.getLogger("imgcompress.serve")

_STATUS = {
    Reason.TOO_LARGE: 413,
    Reason.DECODE_ERROR: 422,
    Reason.LIMITS_CONFLICT: 422,
    Reason.CANNOT_STRIP: 422,
    Reason.OUT_OF_MEMORY: 503,
}
_REASONS = {400: "bad_request", 404: "not_found", 405: "method_not_allowed"}
COME_AGAIN = {"Retry-After": "2"}


class RequestError(ImgcompressError):
    """A request is answered with an error.

    Args:
        status: of HTTP.
        reason: one word for programs.
        message: a sentence for people.
        headers: that go with it.
    """

    def __init__(
        self, status: int, reason: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.headers = dict(headers or {})


def as_request_error(error: Exception) -> RequestError:
    """What a client is told of an error of any kind; faults of the server are logged, not told."""
    match error:
        case RequestError():
            return error
        case UsageError():
            return RequestError(400, "bad_setting", str(error))
        case HTTPException():
            reason = _REASONS.get(error.status_code, "http_error")
            return RequestError(error.status_code, reason, error.detail, error.headers)
        case ClientDisconnect():
            return RequestError(400, "disconnected", "the client went away")
        case PictureError():
            fault = error
        case _:
            _log.error("a request failed", exc_info=error)
            fault = as_picture_error(error)
    status = _STATUS.get(fault.reason, 500)
    if status == 500:
        if fault is error:
            _log.error("a picture failed: %s: %s", fault.reason, fault)
        return RequestError(500, Reason.INTERNAL_ERROR, "the server failed at this picture")
    return RequestError(status, fault.reason, str(fault), COME_AGAIN if status == 503 else None)


def error_response(error: RequestError) -> JSONResponse:
    """The answer. Which format fits depends on ``Accept``, so that errors vary by it, too."""
    body = {"error": {"reason": error.reason, "message": str(error)}}
    return JSONResponse(body, error.status, {"Vary": "Accept"} | error.headers)


async def answer_error(_: Request, error: Exception) -> JSONResponse:
    """Starlette's handler of exceptions."""
    return error_response(as_request_error(error))
