"""What EXIF data say about where a picture comes from."""

from dataclasses import dataclass, field

from imgcompress.forensics.finding import Finding
from imgcompress.image.exif import ExifError, Ifd, TiffStructure, orientation_of

_MAKE, _MODEL, _SOFTWARE, _CHANGED = 0x010F, 0x0110, 0x0131, 0x0132
_DETAIL, _TAKEN, _MAKER_NOTE, _WIDTH, _HEIGHT = 0x8769, 0x9003, 0x927C, 0xA002, 0xA003
_THUMBNAIL_AT, _THUMBNAIL_BYTES = 0x0201, 0x0202
_LONGEST_TEXT = 200


@dataclass(frozen=True)
class ExifFields:
    """The fields that tell of a picture's past; texts are empty where they are missing.

    Attributes:
        make: of the camera.
        model: of the camera.
        software: that wrote the file last, or the camera's firmware.
        changed: date and time of the last change (DateTime).
        taken: date and time of the exposure (DateTimeOriginal).
        orientation: 1 to 8, 1 where it is missing.
        maker_note: bytes of the maker's own data.
        size: width and height that the camera claims, or None.
        thumbnail: the thumbnail's own JPEG file, or None.
        damage: what is wrong with the data.
    """

    make: str = ""
    model: str = ""
    software: str = ""
    changed: str = ""
    taken: str = ""
    orientation: int = 1
    maker_note: int = 0
    size: tuple[int, int] | None = None
    thumbnail: bytes | None = None
    damage: tuple[Finding, ...] = field(default=())


def read_exif_fields(exif: bytes) -> ExifFields:
    """Read the fields; what cannot be read is left out and named in ``damage``.

    Every offset is checked and no field is copied unless it is asked for: general readers copy each, and
    65 kB of fields that overlap then become 350 MB.

    Args:
        exif: a TIFF structure.

    Source: Exif 2.3 (CIPA DC-008), 4.6.
    """
    try:
        tiff = TiffStructure(exif)
        main = tiff.ifd(tiff.first_at)
    except ExifError as error:
        return ExifFields(damage=(Finding("damage", f"the EXIF data cannot be read: {error}"),))
    detail = tiff.sub_ifd(main, _DETAIL)
    damage = []
    if detail is None and main.find(_DETAIL) is not None:
        damage.append(Finding("damage", "the details in the EXIF data cannot be read"))
    thumbnail = None
    try:
        thumbnail = _thumbnail(tiff, main)
    except ExifError as error:
        damage.append(Finding("damage", f"the EXIF thumbnail cannot be read: {error}"))
    note = detail.find(_MAKER_NOTE) if detail else None
    width, height = _integer(tiff, detail, _WIDTH), _integer(tiff, detail, _HEIGHT)
    return ExifFields(
        _text(tiff, main, _MAKE),
        _text(tiff, main, _MODEL),
        _text(tiff, main, _SOFTWARE),
        _text(tiff, main, _CHANGED),
        _text(tiff, detail, _TAKEN),
        orientation_of(exif),
        note.size if note else 0,
        (width, height) if width and height else None,
        thumbnail,
        tuple(damage),
    )


def _text(tiff: TiffStructure, directory: Ifd | None, tag: int) -> str:
    entry = directory.find(tag) if directory else None
    if entry is None or entry.kind != 2:
        return ""
    raw = tiff.data[entry.value_at : entry.value_at + min(entry.size, _LONGEST_TEXT)]
    return raw.split(b"\0")[0].decode("utf-8", "replace").strip()


def _integer(tiff: TiffStructure, directory: Ifd | None, tag: int) -> int:
    entry = directory.find(tag) if directory else None
    if entry is None or entry.count != 1:
        return 0
    try:
        return tiff.integers(entry)[0]
    except ExifError:
        return 0


def _thumbnail(tiff: TiffStructure, main: Ifd) -> bytes | None:
    if main.following == 0:
        return None
    second = tiff.ifd(main.following)
    start, size = _integer(tiff, second, _THUMBNAIL_AT), _integer(tiff, second, _THUMBNAIL_BYTES)
    if not start and not size:
        return None
    if not size or start + size > len(tiff.data):
        raise ExifError("it lies outside")
    return tiff.data[start : start + size]
