import torch

from imgcompress.drawing.score_heat import SIDE, STRIDE
from imgcompress.drawing.score_map import score_map


def test_a_patch_is_found(photo: torch.Tensor) -> None:
    test = photo.clone()
    test[:, 160:192, 320:352] = test[[2, 0, 1], 160:192, 320:352]  # its colors are exchanged
    scores = score_map(photo, test)
    assert (scores.width, scores.height, scores.side, scores.stride) == (600, 400, SIDE, STRIDE)
    row, column = divmod(int(scores.values.argmin()), scores.values.shape[1])
    assert 144 <= row * STRIDE <= 192 and 304 <= column * STRIDE <= 352
    assert scores.values.min() < 50 and scores.values[:10].min() > 99.9


def test_gray_beside_rgb(photo: torch.Tensor) -> None:
    gray = photo[:1, :40, :50]
    assert torch.equal(score_map(gray, gray.expand(3, -1, -1)).values, score_map(gray, gray).values)
