"""Every setting, its default and its range. YAML files and command-line options name these fields."""

import hashlib
import os
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from math import inf
from pathlib import Path
from typing import Any, Literal, get_args

from imgcompress.errors import UsageError

Format = Literal["jpeg", "webp", "avif", "png", "auto"]
StripMode = Literal["none", "thumbnail", "gps", "all"]
VerifyMode = Literal["auto", "decode", "ssim", "vgg"]
Normalization = Literal["unit", "divisive", "none"]
DEFAULT_WEIGHTS = "default"
"""The value of ``perception.weights`` for those that come with the package."""


def _require(ok: bool, key: str, value: object, expected: str) -> None:
    if not ok:
        raise UsageError(f"{key}: expected {expected}, got {value!r}")


@dataclass(frozen=True)
class LimitsConfig:
    """What is refused before it is decoded, and how much is in memory at once.

    Attributes:
        max_megapixels: larger pictures fail with ``too_large`` (millions of pixels).
        batch_megapixels: a batch is cut before it holds more than this; a larger picture goes alone. The
            loop takes up to 0.6 GB a megapixel of what is not looked at in tiles.
        tile_megapixels: a larger picture is looked at in tiles, which takes less memory. The sums over its
            pixels are then put together in another order, which may change its bytes a little.
        in_flight_megapixels: decoded pictures waiting between reading and writing hold at most this.
    """

    max_megapixels: float = 178.0
    batch_megapixels: float = 3.0
    tile_megapixels: float = 3.0
    in_flight_megapixels: float = 64.0

    def __post_init__(self) -> None:
        for key in ("max_megapixels", "batch_megapixels", "tile_megapixels", "in_flight_megapixels"):
            value = getattr(self, key)
            _require(0 < value < inf, f"limits.{key}", value, "a positive number of megapixels")


@dataclass(frozen=True)
class JpegConfig:
    """How the JPEG file is laid out.

    Attributes:
        progressive: pass the file through lossless progressive optimization (optimal scans).
    """

    progressive: bool = True


@dataclass(frozen=True)
class WebpConfig:
    """How WebP files are coded. Lossy ones have chroma at half size (4:2:0) and 8 bits a channel.

    Attributes:
        lossless: keep every pixel; no target is searched for.
        near_lossless: 0 (most is changed) to 100 (off): lets lossless coding change pixels a little.
        alpha_quality: 0 to 100: below 100 alpha is coded with loss.
        method: effort, 0 (fastest) to 6.
    """

    lossless: bool = False
    near_lossless: int = 100
    alpha_quality: int = 100
    method: int = 6

    def __post_init__(self) -> None:
        for key in ("near_lossless", "alpha_quality"):
            value = getattr(self, key)
            _require(0 <= value <= 100, f"webp.{key}", value, "an integer from 0 to 100")
        _require(0 <= self.method <= 6, "webp.method", self.method, "an integer from 0 to 6")
        off = self.lossless or self.near_lossless == 100
        _require(off, "webp.near_lossless", self.near_lossless, "100, or webp.lossless: true beside it")


@dataclass(frozen=True)
class AvifConfig:
    """How AVIF files are coded.

    Attributes:
        codec: the AV1 encoder; aom codes what the others lack: more than 8 bits, alpha, and for svt 4:4:4.
        speed: 0 (smallest files) to 10.
        bit_depth: 8, 10 or 12 bits a channel; auto: the source's, 12 for 16.
    """

    codec: Literal["aom", "svt", "rav1e"] = "aom"
    speed: int = 6
    bit_depth: int | Literal["auto"] = "auto"

    def __post_init__(self) -> None:
        _require(0 <= self.speed <= 10, "avif.speed", self.speed, "an integer from 0 to 10")
        expected = "8, 10, 12 or auto (AV1 ends at 12 bits a channel; format: png keeps 16)"
        _require(self.bit_depth in (8, 10, 12, "auto"), "avif.bit_depth", self.bit_depth, expected)


@dataclass(frozen=True)
class QuantizationConfig:
    """How coarse each coefficient becomes.

    Attributes:
        tables: ``imgcompress``: starting tables mixed by what the blocks are (smooth, texture, edge);
            ``ijg``: the example tables of ITU-T T.81, Annex K, scaled as libjpeg does, and like it without
            search, loop and deringing.
        dead_zone: ``adaptive``: AC values below a threshold, which each block's QP moves, become zero;
            ``none``: plain rounding.
        deringing: code samples that are clipped to white or black beyond them where that is cheaper (text,
            line art).
        dead_zone_threshold: the threshold for a block of weight 1 (QP 24), in quantization steps.
        dead_zone_slope: the threshold is ``dead_zone_threshold + dead_zone_slope (1 / W - 1)``, within
            [0.5, 0.9].
    """

    tables: Literal["imgcompress", "ijg"] = "imgcompress"
    dead_zone: Literal["adaptive", "none"] = "adaptive"
    deringing: bool = True
    dead_zone_threshold: float = 0.62
    dead_zone_slope: float = 0.09

    def __post_init__(self) -> None:
        threshold, slope = self.dead_zone_threshold, self.dead_zone_slope
        _require(0.5 <= threshold <= 0.9, "quantization.dead_zone_threshold", threshold, "0.5 to 0.9 steps")
        _require(0 <= slope <= 1, "quantization.dead_zone_slope", slope, "0 to 1")


@dataclass(frozen=True)
class LoopConfig:
    """Rounds of looking at the damage and quantizing again by the trellis.

    Constants were chosen on 384x384 crops of Kodak 1, 5, 7, 13, 15, 19, 20, 23 by bytes at equal SSIMULACRA2
    (PyPI's) and butteraugli (3-norm).

    Attributes:
        rounds: gradients of the objective, each followed by one pass of the trellis; 0 leaves the first
            quantization as it is.
        shift: how far the target moves in a round; the more rounds, the less.
        luma_lambda, chroma_lambda: what a bit is worth in squared steps.
        dc_trellis: whether DC values, too, are chosen by their codes (no gain was measured).
    """

    rounds: int = 1
    shift: float = 0.12
    luma_lambda: float = 0.09
    chroma_lambda: float = 0.14
    dc_trellis: bool = False

    def __post_init__(self) -> None:
        _require(self.rounds >= 0, "loop.rounds", self.rounds, "an integer >= 0")
        _require(0 <= self.shift <= 1, "loop.shift", self.shift, "0 to 1")
        for key in ("luma_lambda", "chroma_lambda"):
            value = getattr(self, key)
            _require(0 <= value < inf, f"loop.{key}", value, "a number >= 0")


@dataclass(frozen=True)
class ObjectiveConfig:
    """What the loop descends: weights of the logarithms of distances.

    Chosen on 512x384 crops of Kodak 1, 5, 7, 13, 15, 19, 20, 23, so that none gains much at another's cost.

    Attributes:
        ssimulacra2: SSIMULACRA2's weighted sum before its final curve.
        masked_contrast: a 3-norm of the error's contrast, masked by the picture's.
        cvvdp: visible contrast differences after ColorVideoVDP.
        vgg: the VGG distance (seconds a megapixel and round on a CPU).
    """

    ssimulacra2: float = 0.4
    masked_contrast: float = 0.45
    cvvdp: float = 0.15
    vgg: float = 0.0

    def __post_init__(self) -> None:
        _check_weights("objective", (self.ssimulacra2, self.masked_contrast, self.cvvdp, self.vgg))


@dataclass(frozen=True)
class AttentionConfig:
    """Where people look, and how much that counts.

    Attributes:
        enabled: without the map every block has QP 24 (weight 1).
        strength: how far the map moves the QP; 0 is the same as off.
        scale_weights: shares of the maps at 32, 16 and 8 px.
    """

    enabled: bool = True
    strength: float = 1.0
    scale_weights: tuple[float, float, float] = (0.3, 0.5, 0.2)

    def __post_init__(self) -> None:
        _require(0 <= self.strength < inf, "attention.strength", self.strength, "a number >= 0")
        _check_weights("attention.scale_weights", self.scale_weights)


FITTED = ("normalization", "layer_weights", "scaled_l2", "pooling", "ssimulacra2")
"""Settings of the distance that fitted weights bring."""


@dataclass(frozen=True)
class PerceptionConfig:
    """The VGG16 perceptual distance.

    Attributes:
        trunk: path of the VGG16 weights; null takes the ones that come with the package.
        weights: path of fitted weights (``--perceptual-weights`` for short), ``default`` for those that come
            with the package. They bring the channels' weights and all from ``normalization`` to
            ``ssimulacra2``, which can only be set with null: equal channels.
        normalization: ``unit``: feature vectors at unit length in each location; ``divisive``: each channel
            by its contrast nearby; ``none``: as they are.
        layer_weights: shares of conv2_2, conv3_3 and conv4_3.
        scaled_l2: share of plain squared differences, with equal channels, in each layer's distance.
        pooling: exponent p of the power mean over locations, (mean of D^p)^(1/p): 1 is the mean; the larger,
            the more the worst places count.
        ssimulacra2: share of SSIMULACRA2's errors in the logarithm of the distance.
        tile_megapixels: larger pictures go through the trunk in overlapping tiles of at most this.
        cpu_scale: pictures are shrunk by this factor first when the trunk runs on a CPU.
    """

    trunk: str | None = None
    weights: str | None = DEFAULT_WEIGHTS
    normalization: Normalization = "unit"
    layer_weights: tuple[float, float, float] = (0.3, 0.5, 0.2)
    scaled_l2: float = 0.0
    pooling: float = 1.0
    ssimulacra2: float = 0.0
    tile_megapixels: float = 1.0
    cpu_scale: float = 0.5

    def __post_init__(self) -> None:
        _check_weights("perception.layer_weights", self.layer_weights)
        for name in ("scaled_l2", "ssimulacra2"):
            share = getattr(self, name)
            _require(0 <= share < 1, f"perception.{name}", share, "a number >= 0 and < 1")
        _require(1 <= self.pooling < inf, "perception.pooling", self.pooling, "a number >= 1")
        _require(self.cpu_scale in (0.5, 1.0), "perception.cpu_scale", self.cpu_scale, "0.5 or 1")
        tile = self.tile_megapixels
        _require(0.04 <= tile <= 1.0, "perception.tile_megapixels", tile, "0.04 to 1 megapixels")
        for item in fields(self):
            if self.weights is not None and item.name in FITTED:
                value = getattr(self, item.name)
                expected = "its default, as fitted weights bring it (perception.weights: null frees it)"
                _require(value == item.default, f"perception.{item.name}", value, expected)


@dataclass(frozen=True)
class VerificationConfig:
    """Below these floors an encoded picture is refused. They catch accidents; they do not set the quality.

    Attributes:
        min_ssim: smallest structural similarity (0 to 1).
        max_vgg: largest VGG distance.
    """

    min_ssim: float = 0.5
    max_vgg: float = 2.5

    def __post_init__(self) -> None:
        _require(-1 <= self.min_ssim <= 1, "verification.min_ssim", self.min_ssim, "-1 to 1")
        _require(self.max_vgg > 0, "verification.max_vgg", self.max_vgg, "a positive number")


def _check_weights(key: str, weights: tuple[float, ...]) -> None:
    usable = all(weight >= 0 for weight in weights) and 0 < sum(weights) < inf
    _require(usable, key, weights, "weights >= 0, not all zero")


@dataclass(frozen=True)
class Config:
    """All settings of a run.

    Attributes:
        format: of the results; auto makes jpeg, webp and avif and takes the smallest that meets the target;
            png is lossless.
        quality: 1 (smallest) to 100: stands for the SSIMULACRA2 that libjpeg-turbo gives the Kodak pictures
            at that number, on average (``quantization.scale``). With ``quantization.tables: ijg`` it scales
            the tables, as in libjpeg.
        subsampling: 444, 422, 420, or auto: a source JPEG keeps its own; others get 420, or 444
            where thinned-out chroma would cost more (``layout``).
        device: where the tensors live; auto takes CUDA where there is one.
        batch_size: at most this many pictures of one size go through the stages together.
        jobs: threads that read, pack and write; 0 is one a core.
        workers: processes that compute; 0 is one a core, or one a CUDA device.
        target: ``METRIC=VALUE`` to aim at, with METRIC one of ssimulacra2, vgg, ssim, psnr, bpp, bytes; null
            aims at the SSIMULACRA2 that ``quality`` stands for.
        tolerance: how near to the target is near enough, in the metric's units, a share of the target for
            bytes, bpp and vgg; null for the metric's own (0.5 for ssimulacra2).
        max_encodes: encodings a picture may take to hit its target; 1 takes the step that hits it on average.
        max_bytes: no result is larger; null for no limit.
        min_score: no result has a lower SSIMULACRA2; null for no limit.
        min_savings: percent of a source's bytes that a result must save to be worth its loss.
        convert: every picture becomes one of ``format``, even if the source is smaller or the target missed;
            what the format cannot hold is kept all the same.
        max_pixels: larger pictures are kept as they are; null for no limit.
        crushed: what happens to JPEGs that have been compressed very strongly already: ``optimize`` takes no
            more from them than can be had without loss, unless a size or ``convert`` is asked for.
        skip_below: pictures whose quality, estimated without their originals as a SSIMULACRA2 score, is
            lower are not encoded anew; null looks at none.
        mark: leave a note of a few bytes by which our own files are recognized and left alone.
        again: compress also what this tool has compressed before.
        verify: what every output must pass before it is written: ``decode`` (opens elsewhere, right size),
            ``ssim`` or ``vgg`` (in addition at least as similar as the floor); auto: vgg on CUDA, else ssim.
        strip: which metadata is left out. The EXIF thumbnail, which shows the old picture, always is.
    """

    format: Format = "jpeg"
    quality: int = 75
    subsampling: Literal["auto", "444", "422", "420"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    batch_size: int = 8
    jobs: int = 0
    workers: int = 0
    target: str | None = None
    tolerance: float | None = None
    max_encodes: int = 8
    max_bytes: int | None = None
    min_score: float | None = None
    min_savings: float = 0.0
    convert: bool = False
    max_pixels: int | None = None
    crushed: Literal["optimize", "recompress"] = "optimize"
    skip_below: float | None = None
    mark: bool = True
    again: bool = False
    verify: VerifyMode = "auto"
    strip: StripMode = "none"
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    jpeg: JpegConfig = field(default_factory=JpegConfig)
    webp: WebpConfig = field(default_factory=WebpConfig)
    avif: AvifConfig = field(default_factory=AvifConfig)
    quantization: QuantizationConfig = field(default_factory=QuantizationConfig)
    loop: LoopConfig = field(default_factory=LoopConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    attention: AttentionConfig = field(default_factory=AttentionConfig)
    perception: PerceptionConfig = field(default_factory=PerceptionConfig)
    verification: VerificationConfig = field(default_factory=VerificationConfig)

    def __post_init__(self) -> None:
        _require(1 <= self.quality <= 100, "quality", self.quality, "an integer from 1 to 100")
        _require(self.max_encodes >= 1, "max_encodes", self.max_encodes, "an integer >= 1")
        positive = self.tolerance is None or 0 < self.tolerance < inf
        _require(positive, "tolerance", self.tolerance, "a positive number")
        _require(
            self.max_bytes is None or self.max_bytes > 0, "max_bytes", self.max_bytes, "a positive number"
        )
        possible = self.min_score is None or -inf < self.min_score <= 100
        _require(possible, "min_score", self.min_score, "a number up to 100")
        _require(0 <= self.min_savings < 100, "min_savings", self.min_savings, "percent, 0 to below 100")
        _require(self.batch_size >= 1, "batch_size", self.batch_size, "an integer >= 1")
        _require(self.jobs >= 0, "jobs", self.jobs, "an integer >= 0")
        _require(self.workers >= 0, "workers", self.workers, "an integer >= 0")
        possible = self.skip_below is None or -inf < self.skip_below <= 100
        _require(possible, "skip_below", self.skip_below, "a number up to 100")
        most = self.max_pixels
        _require(most is None or most > 0, "max_pixels", most, "a positive number")

    @property
    def threads(self) -> int:
        """How many threads read, pack and write."""
        return self.jobs or os.cpu_count() or 1

    def to_yaml(self) -> str:
        """The resolved settings, as a file that ``--config`` takes."""
        import yaml

        return yaml.safe_dump(_plain(asdict(self)), sort_keys=False)

    def digest(self) -> str:
        """Names the settings that decide about bytes, in 12 hexadecimal digits."""
        settings = asdict(self)
        for key in ("device", "batch_size", "jobs", "workers", "limits"):
            del settings[key]
        settings["tile_megapixels"] = self.limits.tile_megapixels
        return hashlib.sha256(repr(sorted(settings.items())).encode()).hexdigest()[:12]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return list(value) if isinstance(value, tuple) else value


def load_config(path: Path) -> Config:
    """Reads settings from a YAML file; keys that it leaves out have their defaults.

    Args:
        path: the file.

    Returns:
        The settings, checked.

    Raises:
        UsageError: the file cannot be read, or a key does not exist, has a wrong type or is out of range;
            the message names the file and the key.
    """
    from jsonargparse import ArgumentError, ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(Config)
    try:
        settings = parser.parse_string(path.read_text(encoding="utf-8"))
        refuse_nulls(settings)
        return Config(**vars(parser.instantiate(settings)))
    except (OSError, UnicodeDecodeError, ArgumentError, UsageError) as error:
        raise UsageError(f"{path}: {error}") from error


def refuse_nulls(settings: object) -> None:
    """Looks for what jsonargparse lets through in files: null for any value, and anything for a section.

    Args:
        settings: parsed, but not instantiated yet.

    Raises:
        UsageError: a key of :class:`Config` has no value of its type; the message names the key.
    """
    _refuse_nulls(settings, Config, "")


def _refuse_nulls(settings: object, kind: Any, prefix: str) -> None:
    for item in fields(kind):
        if not hasattr(settings, item.name):  # a command that has only some of the settings
            continue
        key, value = prefix + item.name, getattr(settings, item.name)
        if is_dataclass(item.type):
            _require(hasattr(value, "__dict__"), key, value, "a section with keys of its own")
            _refuse_nulls(value, item.type, key + ".")
        elif type(None) not in get_args(item.type):
            _require(value is not None, key, value, "a value")
