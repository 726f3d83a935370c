from pathlib import Path

import pytest
import table_of_formats
import torch
from PIL import Image


def test_the_page_by_hand_stays_and_the_table_is_made_again(
    photo: torch.Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, folder = tmp_path / "formats.md", tmp_path / "odd"
    page.write_text(f"# By hand\n\n{table_of_formats.MARKER}\nan older table\n", encoding="utf-8")
    monkeypatch.setattr(table_of_formats, "PAGE", page)
    folder.mkdir()
    image = Image.fromarray(photo[:, :64, :96].permute(1, 2, 0).numpy().copy())
    image.save(folder / "a photo.png")
    image.convert("CMYK").save(folder / "cmyk.jpg")
    (folder / "words.jpg").write_text("no picture")
    table_of_formats.main([folder])
    first = page.read_text(encoding="utf-8")
    assert first.startswith("# By hand\n") and "older" not in first
    assert "## odd: 3 files" in first and "1 kept (color_space)" in first
    assert "| a photo.png | jpeg | recompressed | smaller |  |" in first
    assert "| cmyk.jpg | jpeg | kept | color_space | the JPEG file is in CMYK |" in first
    assert "| words.jpg |  | failed | decode_error | this is no picture in a known format |" in first
    table_of_formats.main([folder])
    assert page.read_text(encoding="utf-8") == first
