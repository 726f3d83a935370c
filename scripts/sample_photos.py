"""Copies the photographs that come with scikit-image's and scikit-learn's wheels: sample_photos.py FOLDER."""

import shutil
import sys
from importlib.resources import files
from pathlib import Path

PHOTOGRAPHS = {
    "skimage.data": ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg"),
    "sklearn.datasets.images": ("china.jpg", "flower.jpg"),
}


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for package, names in PHOTOGRAPHS.items():
        for name in names:
            shutil.copy(str(files(package) / name), folder / name)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
