from pathlib import Path

import hash_table
import pytest
import torch
from PIL import Image


def test_the_tables_tell_copies_from_others(
    photo: torch.Tensor, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = Image.fromarray(photo.permute(1, 2, 0).numpy())
    image.crop((0, 0, 300, 300)).save(tmp_path / "one.png")
    image.crop((300, 100, 600, 400)).save(tmp_path / "other.png")
    image.crop((300, 0, 600, 300)).convert("L").save(tmp_path / "gray.png")
    hash_table.main([str(tmp_path), "--longest", "128", "--crops", "2"])
    printed = capsys.readouterr().out
    assert "3 photographs" in printed
    (copies,) = [line for line in printed.splitlines() if line.startswith("| all |")]
    number, share = (cell.strip() for cell in copies.split("|")[2:4])
    assert int(number) == 3 * 46
    assert float(share.split()[0]) > 90
    (others,) = [line for line in printed.splitlines() if line.startswith("| photographs |")]
    cells = [int(cell) for cell in others.split("|")[2:5]]
    assert cells[0] == 3 and cells[1] > 31 and cells[2] == 0
    assert "2 of 3" in printed
    assert "gray (0 bits, 0.0 levels)" in printed
