"""Whether samples without an ICC profile are meant as sRGB, the only colors that a JPEG without one has."""

from collections.abc import Iterable

_SRGB_GAMMA = 45455
_GAMMA_TOLERANCE = 0.02
"""Up to two levels of 255 at medium gray; writers round 1/2.2 to .45."""

_SRGB_CHROMATICITIES = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
_CHROMATICITY_TOLERANCE = 1000
"""In the units of the cHRM chunk, 1/100000; writers round to two digits."""

# ITU-T H.273, tables 2 and 3. The transfers of BT.601, BT.709 and BT.2020 are one curve, which viewers
# show as they show that of sRGB.
_SRGB_PRIMARIES = frozenset({1, 2})
_SRGB_TRANSFERS = frozenset({1, 2, 6, 13, 14, 15})
_PRIMARIES = {9: "BT.2020", 11: "DCI-P3", 12: "Display P3"}
_TRANSFERS = {4: "gamma 2.2", 5: "gamma 2.8", 8: "linear", 16: "PQ", 18: "HLG"}


def other_code_points(primaries: int, transfer: int) -> str | None:
    """What color code points mean if it is not sRGB, else None.

    Args:
        primaries, transfer: of ITU-T H.273; 2 is unspecified, and then sRGB.
    """
    if primaries in _SRGB_PRIMARIES and transfer in _SRGB_TRANSFERS:
        return None
    color = "" if primaries in _SRGB_PRIMARIES else _PRIMARIES.get(primaries, f"primaries {primaries}")
    curve = "" if transfer in _SRGB_TRANSFERS else _TRANSFERS.get(transfer, f"transfer {transfer}")
    return " ".join(filter(None, (color, curve)))


def other_png_colors(chunks: Iterable[tuple[bytes, bytes]], *, has_profile: bool) -> str | None:
    """What a PNG file's samples mean if that is neither sRGB nor the colors of its profile, else None.

    Args:
        chunks: (type, data) in the file's order.
        has_profile: whether there is an ICC profile that can be used.

    Source: PNG, third edition (W3C), 4.3: cICP goes before iCCP, that before sRGB, that before gAMA and cHRM.
    """
    first: dict[bytes, bytes] = {}
    for kind, data in chunks:
        first.setdefault(kind, data)
    code_points = first.get(b"cICP", b"")
    if len(code_points) == 4:
        other = other_code_points(code_points[0], code_points[1])
        return other if other or (code_points[2] == 0 and code_points[3] == 1) else "narrow range"
    if has_profile or b"sRGB" in first:
        return None
    gamma = int.from_bytes(first.get(b"gAMA", b""), "big")
    if gamma and abs(gamma - _SRGB_GAMMA) > _GAMMA_TOLERANCE * _SRGB_GAMMA:
        return f"gamma {gamma / 100000:g}"
    corners = first.get(b"cHRM", b"")
    if len(corners) == 32 and first[b"IHDR"][9] & 2:
        values = [int.from_bytes(corners[i : i + 4], "big") for i in range(0, 32, 4)]
        pairs = zip(values, _SRGB_CHROMATICITIES, strict=True)
        if any(abs(value - srgb) > _CHROMATICITY_TOLERANCE for value, srgb in pairs):
            return "other primaries"
    return None


def cicp_is_there(chunks: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether a PNG file's colors are told by code points, so that its ICC profile does not count."""
    return any(kind == b"cICP" and len(data) == 4 for kind, data in chunks)
