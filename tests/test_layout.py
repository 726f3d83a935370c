import torch

from imgcompress.image.picture import Picture
from imgcompress.layout import choose_sampling


def test_codecs_keep_all_chroma_unless_told_otherwise(photo: torch.Tensor) -> None:
    color, gray = Picture(photo, "png"), Picture(photo[:1], "png")
    assert [choose_sampling(color, name) for name in ("auto", "422", "420")] == ["444", "422", "420"]
    assert [choose_sampling(gray, name) for name in ("auto", "444")] == ["gray", "gray"]
