"""The service as a process."""

import logging
from math import ceil
from pathlib import Path

import uvicorn

from imgcompress.compressor import find_device
from imgcompress.config import Config
from imgcompress.serve.app import build_app
from imgcompress.serve.compressors import Compressors
from imgcompress.serve.guard import MAX_HEADER_BYTES
from imgcompress.serve.http import HttpProtocol
from imgcompress.serve.metrics import Metrics
from imgcompress.serve.model_store import ModelStore
from imgcompress.serve.options import ServeOptions, read_token

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def serve(config: Config, options: ServeOptions) -> None:
    """Serves until a signal ends it; requests in flight are finished first.

    Args:
        config: settings where a client asks for nothing else.
        options: where, what and within which limits.

    Raises:
        UsageError: a folder, the token or a model is not there, or the settings cannot be carried out.
    """
    token = read_token(options)
    perception, model = config.perception, None if options.model is None else Path(options.model)
    models = ModelStore(model, perception, find_device(config.device), canary=options.canary)
    compressors, metrics = Compressors(models), Metrics()
    metrics.follow_models(lambda: models.counts, lambda: models.digest)
    with compressors.lease(config):
        app = build_app(config, options, compressors, metrics, token)
    if token is None and options.host not in _LOOPBACK:
        logging.getLogger("imgcompress.serve").warning(
            "listening at %s without a token: whoever reaches it may use it", options.host
        )

    class Protocol(HttpProtocol):
        header_seconds = options.read_seconds

    server = uvicorn.Server(
        uvicorn.Config(
            app,
            host=options.host,
            port=options.port,
            http=Protocol,
            ws="none",
            lifespan="on",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            limit_concurrency=options.connections,
            h11_max_incomplete_event_size=MAX_HEADER_BYTES,
            timeout_graceful_shutdown=ceil(options.shutdown_seconds),
        )
    )
    with models:
        server.run()
