from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

from imgcompress.config import Config, LimitsConfig
from imgcompress.dataset.named_files import File, Unread, named_entries, read_windows


def _windows(folder: Path, most_megapixels: float) -> list[list[str]]:
    config = Config(jobs=2, limits=LimitsConfig(in_flight_megapixels=most_megapixels))
    with ThreadPoolExecutor(2) as pool:
        windows = list(read_windows(named_entries([folder]), config, pool))
    for file in (file for window in windows for file in window):
        if isinstance(file, File):
            assert file.data == Path(file.name).read_bytes()
        else:
            assert isinstance(file, Unread)
    return [[Path(file.name).name for file in window] for window in windows]


def test_a_window_holds_what_may_be_in_flight(tmp_path: Path) -> None:
    for number, side in enumerate((100, 100, 100, 400, 100)):
        Image.new("L", (side, side)).save(tmp_path / f"{number}.png")
    (tmp_path / "5.png").symlink_to(tmp_path / "nowhere")
    assert _windows(tmp_path, 0.05) == [["0.png", "1.png"], ["2.png"], ["3.png"], ["4.png", "5.png"]]
    assert _windows(tmp_path, 64.0) == [[f"{number}.png" for number in range(6)]]


def test_a_window_holds_few_files(tmp_path: Path) -> None:
    for number in range(19):
        Image.new("L", (1, 1)).save(tmp_path / f"{number:02}.png")
    assert [len(window) for window in _windows(tmp_path, 64.0)] == [8, 8, 3]
