"""The routes: what is asked over HTTP, and how it is answered."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import isfinite
from pathlib import Path

from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from imgcompress.config import Config
from imgcompress.errors import ImgcompressError, UsageError
from imgcompress.serve.answers import COME_AGAIN, RequestError, answer_error
from imgcompress.serve.asked import Asked, read_asked
from imgcompress.serve.cache import DiskCache
from imgcompress.serve.compressors import Compressors
from imgcompress.serve.connection import while_connected
from imgcompress.serve.guard import BodyMemory, Guard, with_limits
from imgcompress.serve.metrics import Metrics
from imgcompress.serve.options import ServeOptions, cache_folder
from imgcompress.serve.root import find_below
from imgcompress.serve.service import Service


def build_app(
    config: Config, options: ServeOptions, compressors: Compressors, metrics: Metrics, token: str | None
) -> Guard:
    """The service as an ASGI application.

    Args:
        config: settings where a client asks for nothing else.
        options: limits, and what is served.
        compressors: where compressors come from.
        metrics: counts.
        token: what clients must send; None for no such thing.

    Raises:
        UsageError: the root or the cache's folder is not there.
    """
    routes = _Routes(config, options, compressors, metrics)
    handled: tuple[type[Exception], ...] = (HTTPException, ImgcompressError, ClientDisconnect, Exception)
    app = Starlette(
        routes=routes.all(),
        lifespan=routes.lifespan,
        exception_handlers=dict.fromkeys(handled, answer_error),
    )
    return Guard(app, token, metrics)


class _Routes:
    def __init__(
        self, config: Config, options: ServeOptions, compressors: Compressors, metrics: Metrics
    ) -> None:
        self._config = config
        self._options = options
        self._metrics = metrics
        self._memory = BodyMemory(int(1e6 * options.upload_memory_megabytes))
        self._root, cache = None, None
        if options.root is not None:
            self._root = Path(options.root).resolve()
            if not self._root.is_dir():
                raise UsageError(f"root: {options.root} is no folder")
            cache = DiskCache(cache_folder(options), int(1e6 * options.cache_megabytes))
        self._service = Service(config, options, compressors, metrics, cache)

    def all(self) -> list[Route]:
        return [
            Route("/compress", self.compress, methods=["POST"]),
            Route("/images/{path:path}", self.image, methods=["GET"]),  # and HEAD
            Route("/compare", self.compare, methods=["POST"]),
            Route("/inspect", self.inspect, methods=["POST"]),
            Route("/healthz", self.healthz, methods=["GET"]),
            Route("/readyz", self.readyz, methods=["GET"]),
            Route("/metrics", self.metrics, methods=["GET"]),
        ]

    @asynccontextmanager
    async def lifespan(self, _: Starlette) -> AsyncIterator[None]:
        async with self._service.running():
            yield

    async def compress(self, request: Request) -> Response:
        asked = self._asked(request)
        with self._memory.share() as take:
            body = await with_limits(request, self._options, take).body()
            made = await while_connected(request, self._service.compress(body, asked))
        return Response(made.data, headers=made.headers | {"Vary": "Accept"})

    async def image(self, request: Request) -> Response:
        if self._root is None:
            raise RequestError(404, "not_found", "no folder is served")
        asked = self._asked(request)
        path = find_below(self._root, request.path_params["path"])
        with self._memory.share() as take:
            made = await self._service.image(path, asked, take)
        headers = {"ETag": made.etag, "Vary": "Accept", "Cache-Control": "no-cache"}
        known = ",".join(request.headers.getlist("if-none-match")).split(",")
        if any(tag.strip().removeprefix("W/") in ("*", made.etag) for tag in known):
            return Response(status_code=304, headers=headers)
        return Response(made.data, headers=made.headers | headers)

    async def compare(self, request: Request) -> Response:
        with self._memory.share() as take:
            limited = with_limits(request, self._options, take)
            async with limited.form(max_files=2, max_fields=0) as form:
                parts = [form.get(name) for name in ("reference", "test")]
                files = [await part.read() for part in parts if isinstance(part, UploadFile)]
            if len(files) != 2:
                message = "expected multipart/form-data with the files 'reference' and 'test'"
                raise RequestError(400, "bad_request", message)
            answer = await while_connected(request, self._service.compare(*files))
        scores = {name: value if isfinite(value) else None for name, value in answer.scores.items()}
        return JSONResponse({"scores": scores, "notes": answer.notes})

    async def inspect(self, request: Request) -> Response:
        with self._memory.share() as take:
            body = await with_limits(request, self._options, take).body()
            return JSONResponse(await while_connected(request, self._service.inspect(body)))

    async def healthz(self, _: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(self, _: Request) -> Response:
        if self._service.is_full:
            raise RequestError(503, "queue_full", "too many requests are waiting", COME_AGAIN)
        return JSONResponse({"status": "ready"})

    async def metrics(self, _: Request) -> Response:
        text = generate_latest(self._metrics.registry)
        return Response(text, headers={"Content-Type": CONTENT_TYPE_LATEST})

    def _asked(self, request: Request) -> Asked:
        accept = request.headers.getlist("accept")
        query = request.query_params.multi_items()
        return read_asked(query, ",".join(accept) if accept else None, self._config)
