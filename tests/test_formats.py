"""Every odd and damaged file through the command line: one status each, and what opens looks as it did."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from imgcompress.cli.program import main

KEPT_IN_WEIRD = {
    "flower_small_ga.png": "alpha",
    "imagers_hpredict_cmyk.tiff": "color_space",
    "imagers_rgb32f_color.tiff": "deep_color",
    "jd_jpg-cmyk-2.jpg": "color_space",
    "ljt_monkey12_12bit.jpg": "deep_color",
    "pil_apng_mode_16bit.png": "animated",
    "pil_frozenpond.mpo": "several_pictures",
    "pil_hopper.Lab.tif": "color_space",
    "pil_lab.tif": "color_space",
    "pil_pil_sample_cmyk.jpg": "color_space",
    "pil_tiny.png": "alpha",
    "pngsuite_tm3n3p02.png": "alpha",
    "zune_Kiara_limited_progressive_four_components.jpg": "color_space",
}
WHOLE_IN_CORRUPT = {
    "afl_4x4.jpg",
    "imagers_Bad_rletopdown.bmp",
    "imagers_invalid_run_length.bmp",
    "jd_extraneous-bytes-after-sos.jpg",
    "jd_its_d22db5be7594c17a18a047ca9264ea0a.jpg",
    "pil_chunk_no_actl.png",
    "pil_icc-after-SOF.jpg",
    "pil_truncated_app14.jpg",
    "pil_truncated_exif_dpi.jpg",
    "zune_sos_news.jpg",
}
LEAST_PSNR = 20.0
"""Decibels; tiny pictures of noise come near it, and a wrong turn or color is far below."""


def run(folder: Path, out: Path) -> dict[str, dict[str, object]]:
    code = main(["recompress", str(folder), str(out), "--preset", "instant", "--verify", "decode"])
    assert code == 1
    lines = (out / ".imgcompress" / "report.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    found = {Path(record["source"]).name: record for record in records}
    pictures = [path.name for path in folder.iterdir() if not path.name.startswith("LICENSE")]
    assert len(records) == len(found) and sorted(found) == sorted(pictures)
    for record in records:
        assert record["status"] in ("recompressed", "optimized", "kept", "failed") and record["reason"]
        assert (record["status"] == "failed") == (record["output"] is None)
        assert record["error"] or record["status"] != "failed"
    return found


def shown(data: bytes) -> np.ndarray:
    """As a viewer shows it: upright, in sRGB."""
    with Image.open(io.BytesIO(data)) as image:
        profile = image.info.get("icc_profile")
        upright = ImageOps.exif_transpose(image)
        rgb = upright.convert("RGB")
        if profile and image.mode not in ("1", "L", "LA", "CMYK"):
            try:
                source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
                rgb = ImageCms.profileToProfile(rgb, source, ImageCms.createProfile("sRGB")) or rgb
            except (ImageCms.PyCMSError, OSError):
                pass  # a profile that cannot be used shows nothing
        return np.asarray(rgb, dtype=np.float64)


def check_outputs(folder: Path, records: dict[str, dict[str, object]]) -> None:
    for name, record in records.items():
        if record["output"] is None:
            continue
        before, after = (folder / name).read_bytes(), Path(str(record["output"])).read_bytes()
        if record["status"] == "kept":
            assert before == after, name
            continue
        meant, found = shown(before), shown(after)
        assert meant.shape == found.shape, name
        error = np.square(meant - found).mean()
        if record["status"] == "optimized":
            assert error == 0, name
        assert error == 0 or 10 * np.log10(255**2 / error) > LEAST_PSNR, name


@pytest.mark.shared
def test_weird_files(shared: Path, tmp_path: Path) -> None:
    folder = shared / "formats" / "weird"
    records = run(folder, tmp_path)
    failed = {name for name, record in records.items() if record["status"] == "failed"}
    assert failed == {"pil_hopper_bad_exif.jpg"}
    kept = {name: str(record["reason"]) for name, record in records.items() if record["status"] == "kept"}
    assert kept.items() >= KEPT_IN_WEIRD.items()
    others = {name for name, reason in kept.items() if name not in KEPT_IN_WEIRD}
    assert all(name.startswith("pngsuite_") or kept[name] == "not_smaller" for name in others)
    check_outputs(folder, records)


@pytest.mark.shared
def test_corrupt_files(shared: Path, tmp_path: Path) -> None:
    folder = shared / "formats" / "corrupt"
    records = run(folder, tmp_path)
    assert {name for name, record in records.items() if record["status"] != "failed"} == WHOLE_IN_CORRUPT
    check_outputs(folder, records)
