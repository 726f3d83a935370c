"""A real process with real sockets."""

import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from time import sleep

import httpx2
import numpy as np
import pytest
import torch
from PIL import Image

from imgcompress.config import PerceptionConfig
from imgcompress.perception.model_file import load_model
from imgcompress.perception.weights import load_weights, save_weights
from imgcompress.resources import default_trunk, default_weights
from tests.serve.fakes import picture_file

QUICK = ("--device=cpu", "--verify=decode", "--max-encodes=1", "--loop.rounds=0")
RGB = picture_file("PNG")


class Server:
    def __init__(self, process: "subprocess.Popen[str]", log: Path) -> None:
        self.process = process
        self._log = log
        for _ in range(600):
            match = re.search(r"running on http://127\.0\.0\.1:(\d+)", log.read_text())
            if match:
                self.port = int(match[1])
                self.url = f"http://127.0.0.1:{self.port}"
                return
            assert process.poll() is None, log.read_text()
            sleep(0.1)
        pytest.fail(log.read_text())

    @property
    def log(self) -> str:
        return self._log.read_text()

    def is_healthy(self) -> bool:
        return httpx2.get(self.url + "/healthz").status_code == 200

    def raw(self, request: bytes) -> tuple[int, bytes]:
        """Sends bytes and reads to the end."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection:
            with suppress(OSError):  # the server has heard enough
                connection.sendall(request)
            answer = b""
            while piece := connection.recv(65536):
                answer += piece
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split(b" ")[1]), body


@contextmanager
def running(folder: Path, *options: str) -> Iterator[Server]:
    log = folder / "log.txt"
    with log.open("w") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "imgcompress", "serve", "--port=0", *QUICK, *options],
            stderr=stderr,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
    try:
        yield Server(process, log)
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    (folder / "secret.png").write_bytes(RGB)
    root = folder / "root"
    root.mkdir()
    (root / "a.png").write_bytes(RGB)
    frames = [Image.open(io.BytesIO(picture_file("PNG", (600, 600), mode))) for mode in ("L", "RGB")]
    frames[0].save(root / "large.gif", save_all=True, append_images=frames[1:])
    limits = ("--read-seconds=1", "--upload-seconds=3", "--max-upload-megabytes=1")
    with running(folder, "--root", str(root), "--cache", str(folder / "cache"), *limits) as started:
        yield started
        assert "Traceback" not in started.log


def reason_of(body: bytes) -> str:
    return str(json.loads(body)["error"]["reason"])


def test_slow_bodies(server: Server) -> None:
    head = b"POST /compress HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
    status, body = server.raw(head + b"\x89PNG")
    assert (status, reason_of(body)) == (408, "slow_sender")
    # One byte now and then keeps within the limit for a piece, but not within the one for the whole.
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(head)
        answer = b""
        while not answer:
            connection.sendall(b"x")
            connection.settimeout(0.5)
            with suppress(TimeoutError):
                answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert server.is_healthy()


def test_slow_headers(server: Server) -> None:
    for sent in (b"", b"GET / HTTP/1.1\r\nHost: x\r\nX-", b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET"):
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
            connection.sendall(sent)
            received = b""
            while piece := connection.recv(65536):
                received += piece
        assert received.count(b"HTTP/1.1") == sent.count(b"healthz")


def test_who_takes_no_answer(server: Server) -> None:
    request = b"GET /images/large.gif HTTP/1.1\r\nHost: x\r\n\r\n"
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", server.port))
        connection.sendall(40 * request)  # the answers are more than the system's buffers take
        with pytest.raises(ConnectionError):
            for _ in range(600):
                sleep(0.1)
                connection.sendall(request)
    assert server.is_healthy()


def test_chunked_uploads_above_the_limit(server: Server) -> None:
    head = b"POST /compress HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"%x\r\n" % 60_000 + bytes(60_000) + b"\r\n"
    status, body = server.raw(head + 20 * chunk + b"0\r\n\r\n")
    assert (status, reason_of(body)) == (413, "too_large")
    # An endless one ends, too.
    status, body = server.raw(head + 40 * chunk)
    assert (status, reason_of(body)) == (413, "too_large")
    response = httpx2.post(server.url + "/compress", content=bytes(3_000_000))
    assert response.status_code == 413


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"words\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nBad Name: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n", 400),
        (b"POST /compress HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST /compress HTTP/1.1\r\nHost: x\r\nContent-Length: 1" + b"0" * 30 + b"\r\n\r\n", 400),
        (b"POST /compress HTTP/1.1\r\nHost: x\r\nContent-Length: 10" + b"0" * 12 + b"\r\n\r\n", 413),
        (b"POST /compress HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", 400),
        (b"POST /compress HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"POST /compress HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 40_000 + b"\r\n\r\n", 431),
        (b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: a\r\n" * 10_000 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\nAccept: " + b'";' * 7_000 + b"\r\nConnection: close\r\n\r\n", 404),
    ],
)
def test_absurd_requests(server: Server, request_: bytes, status: int) -> None:
    answered, body = server.raw(request_)
    assert answered == status
    assert set(json.loads(body)["error"]) == {"reason", "message"}
    assert server.is_healthy()


def test_who_says_too_much_hears_the_answer(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(b"rubbish\r\n\r\n")
        sleep(0.3)
        for _ in range(20):  # to a closed connection, the second piece would be an error
            connection.sendall(bytes(1000))
            sleep(0.01)
        assert connection.recv(65536).startswith(b"HTTP/1.1 400 ")
        connection.settimeout(30)
        with suppress(ConnectionError):
            while connection.recv(65536):
                pass
    assert server.is_healthy()


@pytest.mark.parametrize(
    "path",
    [
        b"/images/../secret.png",
        b"/images/%2e%2e/secret.png",
        b"/images/..%2fsecret.png",
        b"/images/%2e%2e%2fsecret.png",
        b"/images/%252e%252e/secret.png",
        b"/images/..%5csecret.png",
        b"/images/..\\secret.png",
        b"/images//etc/passwd",
        b"/images/%2fetc/passwd",
        b"/images/a.png%00.png",
        b"/images/%c0%ae%c0%ae/secret.png",
        b"//images/../secret.png",
        b"/./images/../../secret.png",
    ],
)
def test_no_path_leads_out(server: Server, path: bytes) -> None:
    request = b"GET " + path + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    status, body = server.raw(request)
    assert (status, reason_of(body)) == (404, "not_found")


def test_get_and_head(server: Server) -> None:
    headers = {"Accept": "image/jpeg,image/png;q=0.1"}
    got = httpx2.get(server.url + "/images/a.png", headers=headers)
    assert got.status_code == 200 and int(got.headers["content-length"]) == len(got.content) > 0
    head = httpx2.head(server.url + "/images/a.png", headers=headers)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == got.headers["content-length"]
    assert head.headers["etag"] == got.headers["etag"]
    raw = b"HEAD /images/a.png HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert server.raw(raw) == (200, b"")


def test_loopback_only(server: Server) -> None:
    listening = subprocess.run(["ss", "-ltnH"], capture_output=True, text=True, check=False).stdout
    if listening:
        addresses = [line.split()[3] for line in listening.splitlines() if f":{server.port} " in line]
        assert addresses == [f"127.0.0.1:{server.port}"]


def test_a_model_that_is_replaced(tmp_path: Path) -> None:
    fitted = load_weights(default_weights(), default_trunk())
    weights = [replace(fitted, ssimulacra2=share) for share in (0.0, 0.2)]
    path, other = tmp_path / "model.safetensors", tmp_path / "other.safetensors"
    save_weights(path, weights[0], default_trunk())
    save_weights(other, weights[1], default_trunk())
    second = picture_file("PNG", (48, 32), "L")
    a, b = (
        torch.from_numpy(np.array(Image.open(io.BytesIO(data)).convert("RGB"))).permute(2, 0, 1)[None] / 255
        for data in (RGB, second)
    )
    own = [float(load_model(file, PerceptionConfig(), torch.device("cpu"))(a, b)) for file in (path, other)]
    assert own[0] != pytest.approx(own[1], rel=0.05)
    with running(tmp_path, "--model", str(path)) as server:

        def distance() -> float:
            files = {"reference": ("a", RGB), "test": ("b", second)}
            response = httpx2.post(server.url + "/compare", files=files, timeout=60)
            return float(response.json()["scores"]["vgg"])

        def wait_for(line: str) -> str:
            for _ in range(600):
                text = httpx2.get(server.url + "/metrics").text
                if line in text.splitlines():
                    return text
                sleep(0.1)
            pytest.fail(f"never {line}")

        assert distance() == pytest.approx(own[0], rel=1e-4)
        other.replace(path)
        text = wait_for("imgcompress_model_swaps 1.0")
        assert f'imgcompress_model_info{{digest="{digest_of(path)}"}} 1.0' in text.splitlines()
        assert distance() == pytest.approx(own[1], rel=1e-4)
        path.write_bytes(b"words")
        assert "imgcompress_model_version 2.0" in wait_for("imgcompress_model_refusals 1.0")
        assert distance() == pytest.approx(own[1], rel=1e-4)
        assert "the model is refused" in server.log and "Traceback" not in server.log


def digest_of(path: Path) -> str:
    return load_model(path, PerceptionConfig(), torch.device("cpu")).digest


def test_a_signal_lets_requests_in_flight_be_finished(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("open-sesame\n")
    with running(tmp_path, "--token-file", str(token), "--batch-wait-ms=1500") as server:
        headers = {"Authorization": "Bearer open-sesame", "Accept": "image/jpeg,image/png;q=0.1"}
        assert httpx2.post(server.url + "/compress", content=RGB).status_code == 401
        with ThreadPoolExecutor() as threads:
            waiting = threads.submit(
                httpx2.post, server.url + "/compress", content=RGB, headers=headers, timeout=60
            )
            for _ in range(600):
                if "queue_requests 1.0" in httpx2.get(server.url + "/metrics", headers=headers).text:
                    break
                sleep(0.01)
            server.process.send_signal(signal.SIGTERM)
            response = waiting.result()
        assert response.status_code == 200 and len(response.content) > 0
        assert server.process.wait(60) in (0, -signal.SIGTERM)
        assert "Finished server process" in server.log and "Traceback" not in server.log
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(server.url + "/healthz")
