from pathlib import Path

import pytest

from imgcompress.cli.program import build_parser, main
from imgcompress.errors import UsageError
from imgcompress.serve.options import ServeOptions, cache_folder, read_token


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("port", -1),
        ("port", 65536),
        ("queue", 0),
        ("connections", 0),
        ("batch_wait_ms", -1.0),
        ("max_megapixels", 0.0),
        ("max_upload_megabytes", float("inf")),
        ("upload_memory_megabytes", 1.0),
        ("request_seconds", float("nan")),
        ("cache_megabytes", -5.0),
    ],
)
def test_ranges(key: str, value: float) -> None:
    with pytest.raises(UsageError, match=key):
        ServeOptions(**{key: value})  # type: ignore[arg-type]


def test_tokens(tmp_path: Path) -> None:
    file = tmp_path / "token"
    assert read_token(ServeOptions(), {}) is None
    assert read_token(ServeOptions(), {"IMGCOMPRESS_TOKEN": "sesame"}) == "sesame"
    file.write_text(" abc-123\n")
    assert read_token(ServeOptions(token_file=str(file)), {"IMGCOMPRESS_TOKEN": "sesame"}) == "abc-123"
    for bad in ("", "\n", "two words", "umläut", "a\x07"):
        file.write_text(bad)
        with pytest.raises(UsageError, match="token_file"):
            read_token(ServeOptions(token_file=str(file)), {})
        # An empty variable is a mistake, not a service that is open to all.
        with pytest.raises(UsageError, match="IMGCOMPRESS_TOKEN"):
            read_token(ServeOptions(), {"IMGCOMPRESS_TOKEN": bad})
    with pytest.raises(UsageError, match="token_file"):
        read_token(ServeOptions(token_file=str(tmp_path / "none")), {})


def test_the_cache_folder(tmp_path: Path) -> None:
    environment = {"XDG_CACHE_HOME": str(tmp_path / "x")}
    assert cache_folder(ServeOptions(), environment) == tmp_path / "x" / "imgcompress"
    assert cache_folder(ServeOptions(cache="c"), environment) == Path("c")
    with pytest.raises(UsageError, match="would be served"):
        cache_folder(ServeOptions(root=str(tmp_path), cache=str(tmp_path / "x" / ".." / "c")), {})


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = tmp_path / "settings.yaml"
    settings.write_text("port: 81\nqueue: 7\nquality: 60\nloop: {rounds: 2}\n")
    words = ["serve", "--config", str(settings), "--port", "82", "--batch-wait-ms", "2", "--format", "auto"]
    options = build_parser().parse_args(words).serve
    assert (options.host, options.port, options.queue, options.batch_wait_ms) == ("127.0.0.1", 82, 7, 2)
    assert (options.quality, options.format, options.loop.rounds) == (60, "auto", 2)
    assert build_parser().parse_args(["serve", "--preset", "best"]).serve.loop.rounds == 8
    assert main(["serve", "--queue", "0"]) == 2
    assert "queue: expected" in capsys.readouterr().err
    assert main(["serve", "--device=cpu", "--root", str(tmp_path / "none")]) == 2
    assert "root:" in capsys.readouterr().err
