import io
import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from time import sleep
from typing import Any

import pytest
from httpx2 import Response
from PIL import Image
from starlette.testclient import TestClient

from imgcompress.errors import PictureError, Reason, UsageError
from imgcompress.image.read import read_picture
from imgcompress.serve.model_store import ModelStore
from tests.serve.fakes import QUICK, SIZES, FakeCompressor, deep_png, picture_file

Start = Callable[..., TestClient]
RGB, ALPHA = picture_file("PNG"), picture_file("PNG", mode="RGBA")


def compress(client: TestClient, data: bytes, accept: str = "*/*", query: str = "") -> Response:
    return client.post("/compress" + query, content=data, headers={"Accept": accept})


def error_of(response: Response) -> str:
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert list(body) == ["error"] and set(body["error"]) == {"reason", "message"}
    assert "Traceback" not in response.text
    return str(body["error"]["reason"])


def wait_until(condition: Callable[[], bool]) -> None:
    for _ in range(3000):
        if condition():
            return
        sleep(0.01)
    pytest.fail("it never came true")


# /compress


def test_a_real_compressor(start: Start, photo_png: bytes) -> None:
    response = compress(start(real=True), photo_png, "image/jpeg", "?quality=60")
    assert response.status_code == 200
    assert Image.open(io.BytesIO(response.content)).format == "JPEG"
    headers = response.headers
    assert headers["content-type"] == "image/jpeg" and headers["vary"] == "Accept"
    assert headers["x-imgcompress-status"] == "recompressed" and headers["x-imgcompress-reason"] == "smaller"
    assert int(headers["x-imgcompress-bytes-in"]) == len(photo_png)
    assert int(headers["x-imgcompress-bytes-out"]) == len(response.content)
    saved = 100 * (1 - len(response.content) / len(photo_png))
    assert headers["x-imgcompress-savings"] == f"{saved:.1f}%"
    assert float(headers["x-imgcompress-score-psnr"]) > 20
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("data", "accept", "query", "expected"),
    [
        (RGB, "*/*", "", "avif"),
        (RGB, "image/webp,image/jpeg", "", "webp"),
        (RGB, "image/webp;q=0.5,image/jpeg", "", "jpeg"),
        (ALPHA, "image/jpeg,image/webp;q=0.5", "", "webp"),
        (ALPHA, "image/jpeg,image/png", "", "png"),
        (RGB, "text/html", "?format=webp", "webp"),
        (RGB, "*/*", "?format=png", "png"),
    ],
)
def test_the_format(
    start: Start, fake: FakeCompressor, *, data: bytes, accept: str, query: str, expected: str
) -> None:
    response = compress(start(), data, accept, query)
    assert response.status_code == 200
    assert response.headers["content-type"] == f"image/{expected}"
    [(config, _)] = fake.batches
    assert config.format == expected
    # A source that the client takes itself need not be replaced by anything larger.
    takes_png = "png" in accept or (accept == "*/*" and query in ("", "?format=png"))
    assert (config.convert, config.again) == ((False, False) if takes_png else (True, True))


def test_auto_makes_those_that_are_equally_welcome_and_sends_the_smallest(
    start: Start, fake: FakeCompressor
) -> None:
    client = start()
    assert compress(client, RGB, "*/*", "?format=auto").headers["content-type"] == "image/avif"
    assert {config.format for config, _ in fake.batches} == {"avif", "webp", "jpeg"}
    fake.sizes["jpeg"] = 10
    assert compress(client, RGB, "*/*", "?format=auto").headers["content-type"] == "image/jpeg"
    assert compress(client, ALPHA, "*/*", "?format=auto").headers["content-type"] == "image/avif"
    fake.misses = {"jpeg", "avif"}
    assert compress(client, RGB, "*/*", "?format=auto").headers["content-type"] == "image/webp"
    fake.batches.clear()
    accept = "image/webp,image/jpeg;q=0.9"
    assert compress(client, RGB, accept, "?format=auto").headers["content-type"] == "image/webp"
    assert [config.format for config, _ in fake.batches] == ["webp"]


def test_auto_as_the_services_own_setting(start: Start, fake: FakeCompressor) -> None:
    compress(start(config=replace(QUICK, format="auto")), RGB, "image/webp,image/jpeg")
    assert {config.format for config, _ in fake.batches} == {"webp", "jpeg"}


def test_quality_and_target(start: Start, fake: FakeCompressor) -> None:
    client = start(config=replace(QUICK, target="psnr=40"))
    for query in ("", "?quality=31", "?target=ssimulacra2=70"):
        assert compress(client, RGB, query=query).status_code == 200
    settings = [(config.quality, config.target) for config, _ in fake.batches]
    assert settings == [(75, "psnr=40"), (31, None), (75, "ssimulacra2=70")]


@pytest.mark.parametrize(
    "query",
    [
        "quality=0", "quality=101", "quality=7.5", "quality=", "quality=-1", "quality=%D9%A3",
        "quality=1&quality=2", "target=beauty=3", "target=psnr", "target=psnr=nan", "target=psnr=1e9",
        "format=gif", "format=", "batch_size=1", "device=cuda", "perception.trunk=/etc/passwd", "root=/",
    ],
)  # fmt: skip
def test_settings_that_are_none(start: Start, fake: FakeCompressor, query: str) -> None:
    response = compress(start(), RGB, query="?" + query)
    assert (response.status_code, error_of(response)) == (400, "bad_setting")
    assert not fake.batches


@pytest.mark.parametrize(
    ("data", "status", "reason"),
    [
        (b"", 422, "decode_error"),
        (b"words", 422, "decode_error"),
        (RGB[:-30], 422, "decode_error"),
        (picture_file("PNG", (2000, 1500), "L"), 413, "too_large"),
    ],
)
def test_bodies_that_are_no_picture_or_too_large_a_one(
    start: Start, fake: FakeCompressor, data: bytes, status: int, reason: str
) -> None:
    response = compress(start(max_megapixels=2.0), data)
    assert (response.status_code, error_of(response)) == (status, reason)
    assert not fake.batches


def test_nothing_fits(start: Start, fake: FakeCompressor) -> None:
    client = start()
    for data, accept, query in (
        (RGB, "text/html", ""),
        (ALPHA, "image/jpeg", ""),
        (ALPHA, "*/*", "?format=jpeg"),
    ):
        response = compress(client, data, accept, query)
        assert (response.status_code, error_of(response)) == (406, "not_acceptable")
        assert response.headers["vary"] == "Accept"
    assert not fake.batches


def test_animations_pass_through_where_they_are_accepted(start: Start) -> None:
    client = start()
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
    for form in ("GIF", "WEBP", "PNG"):
        buffer = io.BytesIO()
        frames[0].save(buffer, form, save_all=True, append_images=frames[1:])
        data, name = buffer.getvalue(), f"image/{form.lower()}"
        response = compress(client, data, f"{name};q=0.1,image/jpeg,image/avif")
        assert (response.status_code, response.content) == (200, data)
        assert response.headers["content-type"] == name
        assert response.headers["x-imgcompress-status"] == "kept"
        response = compress(client, data, "image/jpeg,image/avif")
        assert (response.status_code, error_of(response)) == (406, "animated")


def test_what_is_kept_is_sent_only_if_it_is_accepted(start: Start, fake: FakeCompressor) -> None:
    client = start()
    fake.kept = Reason.NOT_SMALLER
    response = compress(client, RGB, "image/webp,image/png;q=0.1")
    assert response.content == RGB
    assert "x-imgcompress-score-psnr" not in response.headers  # of a result that was thrown away
    response = compress(client, RGB, "image/webp")
    assert (response.status_code, error_of(response)) == (406, "not_smaller")
    fake.kept = Reason.LIMITS_CONFLICT
    response = compress(client, RGB)
    assert (response.status_code, error_of(response)) == (422, "limits_conflict")


def test_deep_color(start: Start, fake: FakeCompressor) -> None:
    client, data = start(), deep_png()
    fake.sizes["jpeg"] = 1
    assert compress(client, data, "*/*", "?format=auto").headers["content-type"] == "image/avif"
    assert compress(client, data, "image/jpeg").headers["content-type"] == "image/jpeg"
    (_, [deep]), (_, [shallow]) = fake.batches
    assert (deep.picture.bit_depth, shallow.picture.bit_depth) == (16, 8)
    exact = read_picture(data).pixels.double() / 257
    assert (shallow.picture.pixels.double() - exact).abs().max() <= 0.5


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (RuntimeError("a secret"), 500, "internal_error"),
        (PictureError(Reason.OUT_OF_MEMORY, "none left"), 503, "out_of_memory"),
        (UsageError("target: it needs a search"), 400, "bad_setting"),
    ],
)
def test_faults(start: Start, fake: FakeCompressor, error: Exception, status: int, reason: str) -> None:
    client = start()
    fake.failure = error
    response = compress(client, RGB)
    assert (response.status_code, error_of(response)) == (status, reason)
    assert "secret" not in response.text
    fake.failure = None
    assert compress(client, RGB).status_code == 200


# limits


def test_upload_limits(start: Start, fake: FakeCompressor) -> None:
    client = start(max_upload_megabytes=0.01, upload_memory_megabytes=0.01)
    big = b"x" * 10_001
    response = compress(client, big)
    assert (response.status_code, error_of(response)) == (413, "too_large")
    for route in ("/compress", "/inspect", "/compare"):
        chunks = (big[start : start + 1000] for start in range(0, len(big), 1000))
        headers = {"Content-Type": "multipart/form-data; boundary=b"} if route == "/compare" else {}
        body = (
            chunk
            for chunk in [
                b'--b\r\nContent-Disposition: form-data; name="test"; filename="t"\r\n\r\n',
                *chunks,
            ]
        )
        response = client.post(route, content=body, headers=headers)
        assert (response.status_code, error_of(response)) == (413, "too_large"), route
    assert compress(client, RGB).status_code == 200  # the bytes of the others were given back


def test_memory_for_uploads_is_shared(start: Start, fake: FakeCompressor) -> None:
    client = start(max_upload_megabytes=0.02, upload_memory_megabytes=0.02)
    data = RGB + bytes(12_000 - len(RGB))
    fake.go.clear()
    with ThreadPoolExecutor() as threads:
        first = threads.submit(compress, client, data)
        assert fake.begun.wait(30)
        response = compress(client, data)
        assert (response.status_code, error_of(response)) == (503, "busy")
        assert int(response.headers["retry-after"]) > 0
        fake.go.set()
        assert first.result().status_code == 200
    assert compress(client, data).status_code == 200


def test_a_full_queue(start: Start, fake: FakeCompressor) -> None:
    client = start(queue=2)
    fake.go.clear()
    with ThreadPoolExecutor() as threads:
        waiting = [threads.submit(compress, client, RGB) for _ in range(2)]
        wait_until(lambda: "imgcompress_queue_requests 2.0" in client.get("/metrics").text)
        for route in ("/compress", "/inspect"):
            response = client.post(route, content=RGB)
            assert (response.status_code, error_of(response)) == (503, "queue_full")
            assert int(response.headers["retry-after"]) > 0
        assert client.get("/readyz").status_code == 503
        assert client.get("/healthz").status_code == 200
        fake.go.set()
        assert [future.result().status_code for future in waiting] == [200, 200]
    assert client.get("/readyz").status_code == 200


def test_the_time_limit_drops_what_has_not_begun(start: Start, fake: FakeCompressor) -> None:
    client = start(request_seconds=0.5, batch_wait_ms=0.0)
    fake.go.clear()
    with ThreadPoolExecutor() as threads:
        first = threads.submit(compress, client, RGB)
        assert fake.begun.wait(30)
        response = compress(client, ALPHA)
        assert (response.status_code, error_of(response)) == (504, "timed_out")
        assert first.result().status_code == 504
        fake.go.set()
    fake.begun.clear()
    assert compress(client, RGB).status_code == 200
    # The picture that timed out while another one was computed was never looked at.
    assert [len(sources) for _, sources in fake.batches] == [1, 1]
    assert all(source.picture.alpha is None for _, sources in fake.batches for source in sources)


@pytest.mark.parametrize("route", ["/compress", "/compare", "/inspect"])
def test_who_hangs_up_waits_no_longer(start: Start, fake: FakeCompressor, route: str) -> None:
    client = start()
    fake.go.clear()
    with ThreadPoolExecutor() as threads:
        first = threads.submit(compress, client, RGB)
        assert fake.begun.wait(30)
        body, kind = RGB, "image/png"
        if route == "/compare":
            files = {"reference": ("a", RGB), "test": ("b", RGB)}
            request = client.build_request("POST", route, files=files)
            body, kind = request.read(), request.headers["content-type"]
        messages = [{"type": "http.request", "body": body}, {"type": "http.disconnect"}]
        sent: list[Any] = []

        async def receive() -> Any:
            return messages.pop(0)

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http", "method": "POST", "path": route, "raw_path": route.encode(), "query_string": b"",
            "headers": [(b"content-type", kind.encode())],
        }  # fmt: skip
        assert client.portal is not None
        # The first picture is still computed: nothing but hanging up ends this.
        client.portal.call(client.app, scope, receive, send)
        assert "imgcompress_queue_requests 1.0" in client.get("/metrics").text
        fake.go.set()
        assert first.result().status_code == 200
    if route == "/compress":
        assert sum(len(sources) for _, sources in fake.batches) == 1
    assert sent[0]["status"] == 400


# /images


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    (folder / "deep er").mkdir(parents=True)
    (folder / "deep er" / "ä.png").write_bytes(RGB)
    (folder / "a.png").write_bytes(RGB)
    return folder


def test_files_are_made_once_for_each_format_and_setting(
    start: Start, fake: FakeCompressor, root: Path
) -> None:
    client = start(root=str(root))

    def get(path: str, accept: str, **headers: str) -> Response:
        return client.get(f"/images/{path}", headers={"Accept": accept, **headers})

    first = get("a.png", "image/avif,image/webp;q=0.9")
    assert (first.status_code, first.content) == (200, b"avif" * SIZES["avif"])
    assert (first.headers["vary"], first.headers["content-type"]) == ("Accept", "image/avif")
    assert first.headers["x-imgcompress-bytes-in"] == str(len(RGB))
    # Another header to the same effect, and another file of the same content.
    for path, accept in (("a.png", "image/avif"), ("deep%20er/%C3%A4.png", "image/avif;q=0.5")):
        again = get(path, accept)
        assert (again.content, again.headers) == (first.content, first.headers)
    assert len(fake.batches) == 1
    other = get("a.png", "image/webp")
    assert other.headers["content-type"] == "image/webp" and other.headers["etag"] != first.headers["etag"]
    assert get("a.png?quality=30", "image/avif").status_code == 200
    assert get("a.png", "image/avif,image/png;q=0.1").status_code == 200  # the source would do, too
    assert len(fake.batches) == 4
    (root / "a.png").write_bytes(ALPHA)
    assert get("a.png", "image/avif").status_code == 200
    assert len(fake.batches) == 5
    # A restart forgets nothing.
    assert (
        start(root=str(root)).get("/images/deep er/ä.png", headers={"Accept": "image/avif"}).status_code
        == 200
    )
    assert len(fake.batches) == 5
    text = client.get("/metrics").text
    assert 'imgcompress_cache_lookups_total{result="hit"} 2.0' in text
    assert 'imgcompress_cache_lookups_total{result="miss"} 5.0' in text


def test_etags(start: Start, root: Path) -> None:
    client = start(root=str(root))
    tag = client.get("/images/a.png").headers["etag"]
    assert tag.startswith('"') and tag.endswith('"')
    for known in (tag, f'"other", {tag}', f"W/{tag}", "*"):
        response = client.get("/images/a.png", headers={"If-None-Match": known})
        assert (response.status_code, response.content) == (304, b"")
        assert response.headers["etag"] == tag and response.headers["vary"] == "Accept"
    for known in ('"other"', tag.strip('"'), ""):
        assert client.get("/images/a.png", headers={"If-None-Match": known}).status_code == 200
    # The tag is of the variant: the same one means nothing for another format.
    headers = {"If-None-Match": tag, "Accept": "image/webp"}
    assert client.get("/images/a.png", headers=headers).status_code == 200


def test_requests_for_one_picture_share_its_making(start: Start, fake: FakeCompressor, root: Path) -> None:
    client = start(root=str(root))
    fake.go.clear()
    with ThreadPoolExecutor() as threads:
        waiting = [threads.submit(client.get, "/images/a.png") for _ in range(4)]
        wait_until(lambda: 'lookups_total{result="miss"} 4.0' in client.get("/metrics").text)
        fake.go.set()
        assert {future.result().status_code for future in waiting} == {200}
    assert sum(len(sources) for _, sources in fake.batches) == 1


def test_what_another_model_made_is_not_kept_for_the_one_in_use(
    start: Start, fake: FakeCompressor, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests = ["old"]
    monkeypatch.setattr(ModelStore, "digests", property(lambda _: tuple(digests)))
    client = start(root=str(root))

    def lookups() -> str:
        text = client.get("/metrics").text
        return " ".join(line.split()[-1] for line in text.splitlines() if "lookups_total{" in line)

    # Replaced while a picture is made: nobody knows which model it got.
    fake.go.clear()
    with ThreadPoolExecutor() as threads:
        made = threads.submit(client.get, "/images/a.png")
        assert fake.begun.wait(30)
        digests[:] = ["new"]
        fake.go.set()
        assert made.result().status_code == 200
    digests[:] = ["old"]
    assert client.get("/images/a.png").status_code == 200
    assert lookups() == "2.0"  # two misses
    # What a trial has made goes with it.
    digests[:] = ["old", "on trial"]
    assert client.get("/images/a.png").status_code == 200
    digests[:] = ["on trial"]
    assert client.get("/images/a.png").status_code == 200
    assert lookups() == "4.0"
    digests[:] = ["old"]
    assert client.get("/images/a.png").status_code == 200
    assert sorted(lookups().split()) == ["1.0", "4.0"]


def test_files_that_are_not_served(start: Start, root: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(RGB)
    (root / ".hidden.png").write_bytes(RGB)
    (root / "words.txt").write_text("words")
    (root / "link.png").symlink_to(tmp_path / "secret.png")
    (root / "folder").symlink_to(tmp_path)
    (root / "loop").symlink_to(root / "loop")
    (root / "inside.png").symlink_to(root / "a.png")
    os.mkfifo(root / "pipe")
    client = start(root=str(root))
    for path in (
        "", "b.png", "deep er", "link.png", "folder/secret.png", "loop", "pipe", ".hidden.png", "a.png/",
        "%2e%2e/secret.png", "..%2fsecret.png", "%252e%252e/secret.png", "x%00.png", "a.png%00", "a.png/x",
        "..%5csecret.png",
        "%2fetc/passwd", str(tmp_path / "secret.png"), "deep er/%2e%2e/a.png", "%ff", "a" * 5000, "x/" * 2000,
    ):  # fmt: skip
        response = client.get("/images/" + path)
        assert (response.status_code, error_of(response)) == (404, "not_found"), path
    response = client.get("/images/words.txt")
    assert (response.status_code, error_of(response)) == (422, "decode_error")
    assert client.get("/images/inside.png").status_code == 200
    assert client.post("/images/a.png").status_code == 405


def test_large_files_and_no_root(start: Start, root: Path) -> None:
    assert start().get("/images/a.png").status_code == 404
    response = start(root=str(root), max_upload_megabytes=0.001).get("/images/a.png")
    assert (response.status_code, error_of(response)) == (413, "too_large")
    with pytest.raises(UsageError, match="root"):
        start(root=str(root / "nothing"))


# /compare, /inspect and the rest


def compare(client: TestClient, **files: bytes) -> Response:
    return client.post("/compare", files={name: ("name", data) for name, data in files.items()})


def test_compare(start: Start, photo_png: bytes) -> None:
    client = start()
    scores = compare(client, reference=photo_png, test=photo_png).json()["scores"]
    assert scores == {"ssimulacra2": 100.0, "ssim": 1.0, "psnr": 100.0, "vgg": 0.0}
    buffer = io.BytesIO()
    Image.open(io.BytesIO(photo_png)).save(buffer, "JPEG", quality=30)
    worse = compare(client, reference=photo_png, test=buffer.getvalue()).json()["scores"]
    assert worse["psnr"] < 40 and worse["ssim"] < 1 and worse["vgg"] > 0 and worse["ssimulacra2"] < 90
    gray, color = picture_file("PNG", mode="L"), io.BytesIO()
    Image.open(io.BytesIO(gray)).convert("RGB").save(color, "PNG")
    assert compare(client, reference=gray, test=color.getvalue()).json()["scores"]["psnr"] == 100.0
    assert compare(client, reference=RGB, test=ALPHA).json()["scores"]["ssim"] < 0.9


def test_pictures_are_compared_as_they_are_seen(start: Start, photo_png: bytes) -> None:
    client, stored, turned, exif = start(), io.BytesIO(), io.BytesIO(), Image.Exif()
    exif[0x0112] = 6
    image = Image.open(io.BytesIO(photo_png)).convert("RGB").resize((48, 32))
    image.save(stored, "PNG", exif=exif)
    image.transpose(Image.Transpose.ROTATE_270).save(turned, "WEBP", lossless=True)
    answer = compare(client, reference=stored.getvalue(), test=turned.getvalue())
    assert answer.json()["scores"]["psnr"] == 100.0
    assert answer.json()["notes"] == ["EXIF orientation: 6 in the reference, 1 in the test"]


def test_pictures_that_cannot_be_compared(start: Start) -> None:
    client = start()
    animated = io.BytesIO()
    frames = [Image.new("RGB", (48, 32), color) for color in ("red", "blue")]
    frames[0].save(animated, "GIF", save_all=True, append_images=frames[1:])
    for test, reason in (
        (picture_file("PNG", (32, 48)), "sizes_differ"),
        (b"words", "decode_error"),
    ):
        response = compare(client, reference=RGB, test=test)
        assert (response.status_code, error_of(response)) == (422, reason)
    for files in ({"reference": RGB}, {"reference": RGB, "other": RGB}):
        response = compare(client, **files)
        assert (response.status_code, error_of(response)) == (400, "bad_request")
    for body, kind in (
        (RGB, "image/png"),
        (b"", "multipart/form-data"),
        (b"--b\r\nrubbish", "multipart/form-data; boundary=b"),
        (b"reference=1&test=2", "application/x-www-form-urlencoded"),
    ):
        response = client.post("/compare", content=body, headers={"Content-Type": kind})
        assert (response.status_code, error_of(response)) == (400, "bad_request")
    files = [("test", ("a", RGB))] * 3
    assert error_of(client.post("/compare", files=files)) == "bad_request"


def test_inspect(start: Start) -> None:
    client = start()

    def inspect(data: bytes) -> dict[str, Any]:
        return dict(client.post("/inspect", content=data).json())

    exif = Image.Exif()
    exif[274] = 6
    jpeg = picture_file("JPEG", (40, 24), quality=50, exif=exif, progressive=True, dpi=(72, 72))
    said = inspect(jpeg)
    assert (said["format"], said["media_type"], said["bytes"]) == ("jpeg", "image/jpeg", len(jpeg))
    assert (said["width"], said["height"], said["frames"], said["bit_depth"]) == (40, 24, 1, 8)
    assert (said["channels"], said["alpha"], said["kept"]) == (3, False, None)
    assert said["metadata"] | {"density": None} == {
        "exif": True, "icc": False, "xmp": False, "orientation": 6, "density": None, "complete": True
    }  # fmt: skip
    assert (said["jpeg"]["subsampling"], said["jpeg"]["progressive"]) == ("420", True)
    tables = Image.open(io.BytesIO(jpeg)).quantization  # type: ignore[attr-defined]
    assert said["jpeg"]["tables"][0] == tables[0] and said["jpeg"]["tables"][1] == tables[1]
    said = inspect(ALPHA)
    assert (said["format"], said["alpha"], said["jpeg"]) == ("png", True, None)
    assert inspect(deep_png())["bit_depth"] == 16
    heic = (32).to_bytes(4, "big") + b"ftypheic" + bytes(20)
    said = inspect(heic)
    assert (said["format"], said["width"], said["alpha"]) == ("heic", None, None)
    assert said["kept"]["reason"] == "unchecked"


def test_metrics(start: Start) -> None:
    client = start()
    compress(client, RGB, "image/webp")
    compress(client, b"words")
    client.get("/nothing/here")
    response = client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    for line in (
        'imgcompress_requests_total{route="/compress",status="200"} 1.0',
        'imgcompress_requests_total{route="/compress",status="422"} 1.0',
        'imgcompress_requests_total{route="other",status="404"} 1.0',
        'imgcompress_request_seconds_count{route="/compress"} 2.0',
        f"imgcompress_picture_bytes_in_total {len(RGB):.1f}",
        f"imgcompress_picture_bytes_out_total {4.0 * SIZES['webp']}",
        "imgcompress_batch_pictures_count 1.0",
        "imgcompress_queue_requests 0.0",
    ):
        assert line in response.text.splitlines(), line


def test_the_token(start: Start, root: Path) -> None:
    client = start(token="open-sesame", root=str(root))
    routes = (("POST", "/compress"), ("POST", "/compare"), ("POST", "/inspect"), ("GET", "/metrics"))
    for method, route in (*routes, ("GET", "/images/a.png"), ("GET", "/nothing")):
        for header in (None, "Bearer", "Bearer x", "Bearer open-sesame2", "Basic open-sesame", "open-sesame"):
            headers = {} if header is None else {"Authorization": header}
            response = client.request(method, route, headers=headers)
            assert (response.status_code, error_of(response)) == (401, "unauthorized")
            assert response.headers["www-authenticate"] == "Bearer"
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json() == {"status": "ready"}
    response = client.get("/images/a.png", headers={"Authorization": "bearer open-sesame"})
    assert response.status_code == 200


def test_other_routes_and_methods(start: Start) -> None:
    client = start()
    response = client.get("/")
    assert (response.status_code, error_of(response)) == (404, "not_found")
    response = client.get("/compress")
    assert (response.status_code, error_of(response)) == (405, "method_not_allowed")
    assert response.headers["allow"] == "POST"
    assert "access-control-allow-origin" not in client.get("/healthz", headers={"Origin": "http://x"}).headers


@pytest.mark.shared
def test_hostile_files(start: Start, shared: Path) -> None:
    client = start(real=True)
    files = [path for path in sorted((shared / "formats").rglob("*")) if path.is_file()]
    assert len(files) > 100
    statuses = set()
    for path in files:
        response = compress(client, path.read_bytes(), "image/jpeg")
        statuses.add(response.status_code)
        if response.status_code != 200:
            assert 400 <= response.status_code < 500, (path, response.text)
            error_of(response)
        response = client.post("/inspect", content=path.read_bytes())
        assert response.status_code in (200, 413, 422), (path, response.text)
        json.loads(response.text)
    assert statuses >= {200, 406, 422}
    assert client.get("/healthz").status_code == 200
