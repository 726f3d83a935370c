import subprocess
import sys

STAGES = (
    "image.color",
    "image.dct",
    "image.planes",
    "image.batch",
    "image.statistics",
    "forensics.band_errors",
    "forensics.band_model",
    "forensics.comb",
    "forensics.dead_zone",
    "forensics.earlier_steps",
    "forensics.features",
    "forensics.histograms",
    "forensics.natural_scene",
    "forensics.psnr",
    "forensics.psnr_calibration",
    "forensics.shifted_grid",
    "forensics.steps",
    "forensics.table_quality",
    "hashing.color_bits",
    "hashing.luma_bits",
    "hashing.near",
    "hashing.perceptual_hash",
    "hashing.thumbnail",
    "perception.vgg",
    "perception.distance",
    "perception.export",
    "perception.model_file",
    "perception.attention",
    "perception.masking",
    "perception.objective",
    "perception.pixel_error",
    "perception.ssim",
    "perception.ssimulacra2",
    "perception.window_grid",
    "perception.windows",
    "quantization.deringing",
    "quantization.loop",
    "quantization.quantize",
    "quantization.rates",
    "quantization.shift",
    "quantization.soft",
    "quantization.symbols",
    "quantization.tables",
    "quantization.trellis",
    "formats.jpeg.encoder",
    "encode",
    "serve.model_store",
)
OTHERS = (
    "PIL", "beartype", "imagecodecs", "jaxtyping", "jpeglib", "jsonargparse", "mozjpeg_lossless_optimization",
    "onnx", "onnxruntime", "onnxscript",
    "pillow_avif", "piq", "rich", "safetensors", "scipy", "torchvision", "watchfiles", "yaml",
)  # fmt: skip


def test_the_tensor_stages_need_nothing_but_torch() -> None:
    script = f"import sys\nfor name in {OTHERS}: sys.modules[name] = None\n"
    script += "".join(f"import imgcompress.{stage}\n" for stage in STAGES)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
