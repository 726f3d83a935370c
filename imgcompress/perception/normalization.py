"""The forms in which the taps of two pictures are compared, and their mean differences on judged JPEGs.

``unit``: each location's channel vector f at unit length, f / sqrt(sum_c f_c^2 + e).
``divisive``: each channel by its own local contrast, f_c / sqrt(mean of f_c^2 over 5x5 locations + e).
``none``: the features as they are.

Both pictures are normalized by themselves, so every form is symmetric.
"""

import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from imgcompress.config import Normalization
from imgcompress.perception.vgg import TAP_CHANNELS, Taps
from imgcompress.shapes import Float

WINDOW = 5
"""Locations along the side of the square that ``divisive`` averages; at the border what is in the picture."""

# All constants are printed by scripts/measure_layer_scales.py: float32 trunk, TID2013 (512x384).
# Mean of a channel vector's squared length, 24 references.
LAYER_ENERGIES = (1.9e7, 4.1e7, 2.5e6)
# e as a share of the layer's mean energy (divisive: of its mean per channel). At unit length a tiny one: 1 %
# already lowers the agreement with people. Divisive trades TID2013's JPEGs for MICT's: rank correlations at
# half size .906 and .958 for 1e-3, .915 and .956 for 1e-2, .925 and .931 for 1e-1, .936 and .881 for 1.
RELATIVE_EPSILON: dict[Normalization, float] = {"unit": 1e-10, "divisive": 1e-2}
# Means over the 120 JPEGs (5 qualities of 24 pictures) of the mean over locations of sum_c (a_c - b_c)^2,
# by how many pixels along each axis are averaged first.
LAYER_SCALES: dict[Normalization, dict[int, tuple[float, float, float]]] = {
    "unit": {1: (0.385, 0.520, 0.609), 2: (0.194, 0.248, 0.301)},
    "divisive": {1: (42.7, 81.8, 117.0), 2: (24.0, 47.2, 77.8)},
    "none": {1: (4.85e6, 14.6e6, 1.12e6), 2: (2.56e6, 8.58e6, 0.814e6)},
}


def normalize(
    features: Float[Tensor, "batch channels height width"], layer: int, normalization: Normalization
) -> Float[Tensor, "batch channels height width"]:
    """One tap in the form in which it is compared.

    Args:
        features: a tap, any float dtype.
        layer: 0, 1 or 2 for conv2_2, conv3_3 or conv4_3.
        normalization: the form.

    Returns:
        float32; finite gradients, also where nothing responds.
    """
    features = features.float()
    if normalization == "none":
        return features
    floor = RELATIVE_EPSILON[normalization] * LAYER_ENERGIES[layer]
    if normalization == "unit":
        return features * (features.square().sum(1, keepdim=True) + floor).rsqrt()
    local = F.avg_pool2d(features.square(), WINDOW, 1, WINDOW // 2, count_include_pad=False)
    return features * (local + floor / TAP_CHANNELS[layer]).rsqrt()


def channel_means(
    a: Taps, b: Taps, normalization: Normalization
) -> tuple[Float[Tensor, "batch 128"], Float[Tensor, "batch 256"], Float[Tensor, "batch 512"]]:
    """What each channel adds to the distance: m_lc, the mean over locations of its squared difference.

    With the taps of ``prepare``d pictures, ``layer_weights`` v_l, ``channel_logits`` z_l, ``scaled_l2`` s,
    C_l channels, scales L_l(form) = ``LAYER_SCALES[form][shrink][l]`` and ``pooling`` 1, the distance is

        D = sum_l v_l [ (1 - s) / L_l(form) sum_c C_l softmax(z_l)_c m_lc(form)
                        + s / L_l("none") sum_c m_lc("none") ]

    Args:
        a: of one VGG pass; several normalizations can share it.
        b: the same of the other pictures.
        normalization: the form.

    Returns:
        m of conv2_2, conv3_3 and conv4_3, float32, >= 0.
    """
    conv2_2, conv3_3, conv4_3 = (
        (normalize(tap_a, layer, normalization) - normalize(tap_b, layer, normalization))
        .square()
        .mean((2, 3))
        for layer, (tap_a, tap_b) in enumerate(zip(a, b, strict=True))
    )
    return conv2_2, conv3_3, conv4_3
