"""Programs that write JPEG files, with the exact command of each, for signatures and for judging them."""

import hashlib
import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

_SECONDS = 120


@dataclass(frozen=True)
class Recipe:
    """One way to make a JPEG file.

    Attributes:
        family: name of the file in configs/signatures.
        name: program and variant.
        command: a shell command, or Python after ``python:``. In a shell command ``{png}``, ``{ppm}`` and
            ``{jpg}`` are the picture, ``{target}`` the result; in Python ``png``, ``jpg`` and ``target`` are.
            ``quality`` runs from 1 to 100.
        version: a shell command or Python expression that tells the version.
        held_out: whether its files are kept from the signatures, for judging them.
        gray: whether it is also run on a gray picture.
        slow: whether it takes seconds, so that it is run on few pictures.
    """

    family: str
    name: str
    command: str
    version: str
    held_out: bool = False
    gray: bool = True
    slow: bool = False


_PILLOW = "python:__import__('PIL').__version__"
_VIPS = "python:__import__('importlib.metadata').metadata.version('pyvips-binary')"
_CV = "python:__import__('cv2').__version__"
_IMAGECODECS = "python:__import__('imagecodecs').jpeg8_version()"
_AJPEGLI = "python:__import__('ajpegli').__version__"
_PYJPEGLI = "python:__import__('importlib.metadata').metadata.version('pyjpegli')"
_LOSSLESS = "python:__import__('importlib.metadata').metadata.version('mozjpeg-lossless-optimization')"
_OURS = "python:__import__('imgcompress').__version__"
_CJPEG, _GM, _IM = "cjpeg -version", "gm version", "convert-im6 -version"
_FFMPEG, _GIMP, _NETPBM = "ffmpeg -version", "gimp --version", "pnmtojpeg -version"
_PHP, _GO, _JAVA = "php --version", "go version", "java -version"
_SHARP = "node -p \"const v=require('sharp').versions; 'sharp '+v.sharp+', mozjpeg '+v.mozjpeg\""
_JS = "node -p \"'jpeg-js '+require('jpeg-js/package.json').version\""
_RICHTER = "dpkg-query -W libjpeg-tools"
_PVRG = "dpkg-query -W pvrg-jpeg"
_GUETZLI = "dpkg-query -W guetzli"
_OPTIM = "jpegoptim --version"


def _pillow(options: str) -> str:
    return f"python:Image.open(png).save(target, 'JPEG', quality=quality{options})"


def _vips(options: str) -> str:
    return f"python:pyvips.Image.new_from_file(png).jpegsave(target, Q=quality{options})"


def _cv(options: str) -> str:
    return (
        "python:cv2.imwrite(target, cv2.imread(png, cv2.IMREAD_UNCHANGED), "
        f"[cv2.IMWRITE_JPEG_QUALITY, quality{options}])"
    )


def _ajpegli(options: str) -> str:
    return f"python:Path(target).write_bytes(ajpegli.encode(numpy.array(Image.open(png)), {options}))"


def _sharp(options: str) -> str:
    return (
        "node -e \"require('sharp')('{png}').jpeg({{quality:{quality}" + options + "}}).toFile('{target}')\""
    )


def _gimp(options: str) -> str:
    # Smoothing, optimize, progressive, comment, sampling (0: 4:2:0, 2: 4:4:4), baseline, restart, DCT.
    return (
        'gimp-console -i -b \'(let* ((i (car (gimp-file-load RUN-NONINTERACTIVE "{png}" "{png}"))) '
        '(d (car (gimp-image-get-active-drawable i)))) (file-jpeg-save RUN-NONINTERACTIVE i d "{target}" '
        '"{target}" (/ {quality} 100) ' + options + "))' -b '(gimp-quit 0)'"
    )


_JAVA_CODE = (
    "import java.io.*;import javax.imageio.*;import javax.imageio.stream.*;public class E{{public static void"
    ' main(String[] a)throws Exception{{ImageWriter w=ImageIO.getImageWritersByFormatName("jpeg").next();'
    "ImageWriteParam p=w.getDefaultWriteParam();p.setCompressionMode(2);"
    "p.setCompressionQuality(Float.parseFloat(a[2])/100);PROGRESSIVE"
    "w.setOutput(new FileImageOutputStream(new File(a[1])));"
    "w.write(null,new IIOImage(ImageIO.read(new File(a[0])),null,null),p);w.dispose();}}}}"
)


def _java(more: str) -> str:
    code = _JAVA_CODE.replace("PROGRESSIVE", more)
    return f"printf '%s' '{code}' > {{work}}/E.java && java {{work}}/E.java {{png}} {{target}} {{quality}}"


_GO_CODE = (
    'package main;import ("image/png";"image/jpeg";"os";"strconv");func main(){{f,_:=os.Open(os.Args[1]);'
    "i,_:=png.Decode(f);o,_:=os.Create(os.Args[2]);q,_:=strconv.Atoi(os.Args[3]);"
    "jpeg.Encode(o,i,&jpeg.Options{{Quality:q}})}}"
)
_JS_CODE = (
    "const s=require('fs'),p=require('pngjs').PNG.sync.read(s.readFileSync('{png}'));"
    "s.writeFileSync('{target}',require('jpeg-js').encode(p,{quality}).data)"
)
_PHP_CODE = (
    '$i=imagecreatefrompng("{png}");MOREif(!imageistruecolor($i))imagepalettetotruecolor($i);'
    'imagejpeg($i,"{target}",{quality});'
)


def _php(more: str) -> str:
    return f"php -r '{_PHP_CODE.replace('MORE', more)}'"


def _lossless(source: str, options: str = "") -> str:
    return (
        f"python:buffer = io.BytesIO(); Image.open(png).save(buffer, 'JPEG', {source}); "
        "Path(target).write_bytes(mozjpeg_lossless_optimization.optimize(buffer.getvalue()"
        f"{options}))"
    )


def _ours(config: str) -> str:
    return (
        "python:from imgcompress.compressor import Compressor, Source; from imgcompress.config import *; "
        "from imgcompress.image.read import read_picture; data = Path(png).read_bytes(); "
        f"made = Compressor(Config(quality=quality, {config})).compress([Source(data, read_picture(data))], "
        "ThreadPoolExecutor(1)); Path(target).write_bytes(made[0].data)"
    )


_CONVERT = "convert-im6 {png} -quality {quality} "
_GRAPHICS = "gm convert {png} -quality {quality} "
_AVCODEC = "ffmpeg -v error -y -i {png} -pix_fmt yuvj420p -q:v {scale} "

RECIPES = (
    Recipe("libjpeg", "Pillow", _pillow(""), _PILLOW),
    Recipe("libjpeg", "Pillow, optimized", _pillow(", optimize=True"), _PILLOW),
    Recipe("libjpeg", "Pillow, progressive", _pillow(", progressive=True"), _PILLOW),
    Recipe("libjpeg", "Pillow, 4:4:4", _pillow(", subsampling=0"), _PILLOW, gray=False),
    Recipe("libjpeg", "cjpeg", "cjpeg -quality {quality} -outfile {target} {ppm}", _CJPEG),
    Recipe(
        "libjpeg", "cjpeg -optimize", "cjpeg -optimize -quality {quality} -outfile {target} {ppm}", _CJPEG
    ),
    Recipe(
        "libjpeg",
        "cjpeg -progressive",
        "cjpeg -progressive -quality {quality} -outfile {target} {ppm}",
        _CJPEG,
    ),
    Recipe(
        "libjpeg", "cjpeg -arithmetic", "cjpeg -arithmetic -quality {quality} -outfile {target} {ppm}", _CJPEG
    ),
    Recipe("libjpeg", "libvips", _vips(""), _VIPS),
    Recipe("libjpeg", "libvips, optimized", _vips(", optimize_coding=True"), _VIPS),
    Recipe("libjpeg", "libvips, progressive", _vips(", interlace=True"), _VIPS),
    Recipe("libjpeg", "GraphicsMagick", _GRAPHICS + "{target}", _GM),
    Recipe("libjpeg", "GraphicsMagick, progressive", _GRAPHICS + "-interlace Line {target}", _GM),
    Recipe("libjpeg", "ImageMagick", _CONVERT + "{target}", _IM),
    Recipe("libjpeg", "ImageMagick, progressive", _CONVERT + "-interlace Plane {target}", _IM),
    Recipe("libjpeg", "GIMP", _gimp('0 1 1 "" 2 1 0 0'), _GIMP, slow=True),
    Recipe("libjpeg", "GIMP, sequential", _gimp('0 1 0 "" 0 1 0 0'), _GIMP, slow=True),
    Recipe("libjpeg", "OpenCV", _cv(""), _CV),
    Recipe("libjpeg", "OpenCV, progressive", _cv(", cv2.IMWRITE_JPEG_PROGRESSIVE, 1"), _CV),
    Recipe(
        "libjpeg",
        "imagecodecs",
        "python:Path(target).write_bytes(imagecodecs.jpeg8_encode(numpy.array(Image.open(png)), quality))",
        _IMAGECODECS,
    ),
    Recipe("libjpeg", "netpbm", "pnmtojpeg --quality={quality} {ppm} > {target}", _NETPBM),
    Recipe("libjpeg", "PHP (GD)", _php(""), _PHP),
    Recipe("libjpeg", "jpegoptim", "jpegoptim -q -m{quality} --stdout {jpg} > {target}", _OPTIM),
    # Nothing but the coefficients tells these from libjpeg-turbo's.
    Recipe(
        "libjpeg",
        "libvips, sequential with mozjpeg's trellis",
        _vips(", trellis_quant=True, optimize_coding=True"),
        _VIPS,
    ),
    Recipe(
        "mozjpeg",
        "mozjpeg by libvips, best",
        _vips(
            ", trellis_quant=True, overshoot_deringing=True, optimize_scans=True, interlace=True,"
            " optimize_coding=True, quant_table=3"
        ),
        _VIPS,
    ),
    *(
        Recipe(
            "mozjpeg",
            f"mozjpeg by libvips, tables {table}",
            _vips(f", trellis_quant=True, interlace=True, optimize_coding=True, quant_table={table}"),
            _VIPS,
            gray=False,
        )
        for table in range(1, 9)
    ),
    Recipe("mozjpeg", "mozjpeg by sharp", _sharp(",mozjpeg:true"), _SHARP),
    Recipe("mozjpeg", "lossless optimization by mozjpeg", _lossless("quality=quality"), _LOSSLESS),
    Recipe("jpegli", "ajpegli", _ajpegli("quality=quality"), _AJPEGLI),
    Recipe("jpegli", "ajpegli, 4:4:4", _ajpegli("quality=quality, subsampling='444'"), _AJPEGLI, gray=False),
    Recipe("jpegli", "ajpegli, sequential", _ajpegli("quality=quality, progressive=0"), _AJPEGLI),
    Recipe("jpegli", "ajpegli, one level", _ajpegli("quality=quality, progressive=1"), _AJPEGLI),
    Recipe(
        "jpegli",
        "pyjpegli",
        "python:image = Image.open(png).convert('RGB'); "
        "Path(target).write_bytes(pyjpegli.encode(image.tobytes(), *image.size, quality))",
        _PYJPEGLI,
        gray=False,
    ),
    Recipe("guetzli", "guetzli", "guetzli --quality {high} {png} {target}", _GUETZLI, gray=False),
    Recipe("ffmpeg", "ffmpeg", _AVCODEC + "{target}", _FFMPEG, gray=False),
    Recipe("ffmpeg", "ffmpeg, 4:4:4", _AVCODEC.replace("420", "444") + "{target}", _FFMPEG, gray=False),
    Recipe("ffmpeg", "ffmpeg, default Huffman", _AVCODEC + "-huffman default {target}", _FFMPEG, gray=False),
    Recipe(
        "go",
        "Go",
        f"printf '%s' '{_GO_CODE}' > {{work}}/e.go && go run {{work}}/e.go {{png}} {{target}} {{quality}}",
        _GO,
    ),
    Recipe("java", "Java", _java(""), _JAVA),
    Recipe("java", "Java, progressive", _java("p.setProgressiveMode(1);"), _JAVA),
    Recipe("jpeg-js", "jpeg-js", f'node -e "{_JS_CODE}"', _JS, gray=False),
    Recipe("thomas-richter", "jpeg", "jpeg -q {quality} {ppm} {target}", _RICHTER),
    Recipe("thomas-richter", "jpeg, optimized", "jpeg -h -bl -q {quality} {ppm} {target}", _RICHTER),
    Recipe("thomas-richter", "jpeg, progressive", "jpeg -v -q {quality} {ppm} {target}", _RICHTER),
    Recipe("imgcompress", "imgcompress", _ours(""), _OURS, slow=True),
    Recipe(
        "imgcompress",
        "imgcompress, sequential",
        _ours("jpeg=JpegConfig(progressive=False)"),
        _OURS,
        slow=True,
    ),
    # Judged on, never learned from.
    Recipe(
        "libjpeg",
        "Pillow, 4:2:2, progressive, dpi",
        _pillow(", subsampling=1, progressive=True, dpi=(300, 300)"),
        _PILLOW,
        held_out=True,
    ),
    Recipe(
        "libjpeg",
        "Pillow, restarts and a comment",
        _pillow(", restart_marker_rows=2, comment='a holiday'"),
        _PILLOW,
        held_out=True,
    ),
    Recipe(
        "libjpeg",
        "cjpeg -restart -sample 2x1",
        "cjpeg -restart 2 -sample 2x1 -quality {quality} -outfile {target} {ppm}",
        _CJPEG,
        held_out=True,
    ),
    Recipe(
        "libjpeg",
        "ImageMagick, 4:4:4",
        _CONVERT + "-density 300 -sampling-factor 4:4:4 {target}",
        _IM,
        held_out=True,
    ),
    Recipe(
        "libjpeg",
        "GraphicsMagick, 4:2:2",
        _GRAPHICS + "-sampling-factor 2x1 {target}",
        _GM,
        held_out=True,
    ),
    Recipe("libjpeg", "PHP (GD), progressive", _php("imageinterlace($i,true);"), _PHP, held_out=True),
    Recipe("libjpeg", "OpenCV, restarts", _cv(", cv2.IMWRITE_JPEG_RST_INTERVAL, 4"), _CV, held_out=True),
    Recipe(
        "mozjpeg",
        "mozjpeg by libvips, 4:4:4",
        _vips(
            ", trellis_quant=True, interlace=True, optimize_coding=True, quant_table=2, subsample_mode='off'"
        ),
        _VIPS,
        held_out=True,
    ),
    Recipe(
        "mozjpeg",
        "mozjpeg by sharp, 4:4:4",
        _sharp(",mozjpeg:true,chromaSubsampling:'4:4:4'"),
        _SHARP,
        held_out=True,
    ),
    Recipe(
        "mozjpeg",
        "lossless optimization of 4:4:4",
        _lossless("quality=quality, subsampling=0, progressive=True"),
        _LOSSLESS,
        held_out=True,
    ),
    Recipe(
        "jpegli", "ajpegli, 4:2:2", _ajpegli("quality=quality, subsampling='422'"), _AJPEGLI, held_out=True
    ),
    Recipe(
        "jpegli",
        "ajpegli, flat quantization",
        _ajpegli("quality=quality, adaptive_quantization=False, progressive=0"),
        _AJPEGLI,
        held_out=True,
    ),
    Recipe(
        "ffmpeg",
        "ffmpeg, 4:2:2",
        _AVCODEC.replace("420", "422") + "{target}",
        _FFMPEG,
        held_out=True,
        gray=False,
    ),
    Recipe(
        "imgcompress",
        "imgcompress, 4:4:4, without its note",
        _ours("subsampling='444', mark=False"),
        _OURS,
        held_out=True,
        slow=True,
    ),
)


class Picture:
    """One picture as files in the formats that recipes read."""

    def __init__(self, pixels: Any, folder: Path, name: str) -> None:
        self.stem = folder / name
        image = Image.fromarray(pixels)
        image.save(f"{self.stem}.png")
        image.save(f"{self.stem}.ppm")
        image.save(f"{self.stem}.jpg", quality=98)

    @property
    def words(self) -> dict[str, str]:
        """What stands for the picture in a command."""
        return {kind: f"{self.stem}.{kind}" for kind in ("png", "ppm", "jpg")}


def crops(paths: list[Path], width: int, height: int, folder: Path) -> list[tuple[Picture, bool]]:
    """The middles of pictures, in color and in gray; and whether each is gray."""
    made = []
    for path in paths:
        with Image.open(path) as image:
            left, top = (image.width - width) // 2, (image.height - height) // 2
            color = image.convert("RGB").crop((left, top, left + width, top + height))
        made.append((Picture(np.array(color), folder, path.stem), False))
        made.append((Picture(np.array(color.convert("L")), folder, f"{path.stem}-gray"), True))
    return made


def tasks(
    recipe: Recipe, pictures: list[tuple[Picture, bool]], qualities: Sequence[int]
) -> Iterator[tuple[Picture, int]]:
    """The pictures and qualities that a recipe is run with: all, or for a slow one the first and the last."""
    shown = [picture for picture, gray in pictures if recipe.gray or not gray]
    if recipe.slow:
        shown, qualities = shown[:2], (qualities[0], qualities[-1])
    yield from product(shown, qualities)


def make(recipe: Recipe, picture: Picture, quality: int, made: Path | None = None) -> bytes:
    """The file that a recipe makes, kept in a folder and found there again if there is one.

    Raises:
        RuntimeError: it made none.
    """
    if made is None:
        return _made(recipe, picture, quality)
    key = hashlib.sha256(f"{recipe.command} {picture.stem.name} {quality}".encode()).hexdigest()[:24]
    path = made / f"{key}.jpg"
    if not path.exists():
        data = _made(recipe, picture, quality)
        made.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return path.read_bytes()


def _made(recipe: Recipe, picture: Picture, quality: int) -> bytes:
    with tempfile.TemporaryDirectory() as work:
        target = Path(work, "made.jpg")
        words = {
            **picture.words,
            "target": str(target),
            "quality": quality,
            "work": work,
            "high": 84 + round(0.16 * quality),
            "scale": max(2, round(31 - 0.29 * quality)),
        }
        if recipe.command.startswith("python:"):
            exec(recipe.command.removeprefix("python:"), {**_python(), **words})
        else:
            command = recipe.command.format(**words)
            done = subprocess.run(
                command, shell=True, capture_output=True, timeout=_SECONDS, check=False, env=_environment()
            )
            if done.returncode or not target.exists():
                raise RuntimeError(done.stderr.decode(errors="replace")[-300:])
        return target.read_bytes()


@cache
def version(command: str) -> str | None:
    """What a program says that it is; None where it is not there."""
    if command.startswith("python:"):
        try:
            return str(eval(command.removeprefix("python:")))
        except ImportError:
            return None
    done = subprocess.run(
        command, shell=True, capture_output=True, text=True, timeout=_SECONDS, check=False, env=_environment()
    )
    said = (done.stdout.strip() or done.stderr.strip()).splitlines()
    return said[0].strip() if done.returncode == 0 and said else None


def available() -> tuple[list[Recipe], list[str]]:
    """The recipes whose programs are installed, and the names of the others."""
    found = [recipe for recipe in RECIPES if version(recipe.version)]
    return found, [recipe.name for recipe in RECIPES if recipe not in found]


def _environment() -> dict[str, str]:
    return {**os.environ, "LC_ALL": "C"}


@cache
def _python() -> dict[str, Any]:
    import importlib
    import io
    from concurrent.futures import ThreadPoolExecutor

    names: dict[str, Any] = {"Image": Image, "Path": Path, "io": io, "ThreadPoolExecutor": ThreadPoolExecutor}
    names |= {"numpy": np, "torch": torch}
    for name in ("pyvips", "cv2", "imagecodecs", "ajpegli", "pyjpegli", "mozjpeg_lossless_optimization"):
        try:
            names[name] = importlib.import_module(name)
        except ImportError:
            continue
    return names
