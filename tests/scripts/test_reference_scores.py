"""`compare` beside the published program's scores."""

from pathlib import Path

import pytest
import reference_scores


@pytest.mark.shared
def test_compare_gives_the_reference_scores(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = shared / "reference/ssimulacra2_reference.csv"
    reference_scores.main([str(table), str(shared / "photos"), "--limit", "12"])
    lines = capsys.readouterr().out.splitlines()[4:]
    assert [line.split(" | ")[0] for line in lines] == ["| below 30", "| 30 to 70", "| above 70"]
    assert sum(int(line.split(" | ")[1]) for line in lines) == 12
    for line, most in zip(lines, (0.1, 0.3, 1.6), strict=True):
        assert abs(float(line.rstrip(" |").split(" | ")[-1])) < most


def test_another_decoder_is_an_error(tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (16, 16), "red").save(tmp_path / "red.png")
    table = tmp_path / "table.csv"
    table.write_text(
        "picture,pillow_quality_420,sha256_of_decoded_rgb_first16,ssimulacra2_cpp\nred.png,50,0123,50\n"
    )
    with pytest.raises(SystemExit, match="another JPEG codec"):
        reference_scores.main([str(table), str(tmp_path)])
