"""Small images in memory and on disk, for the tests of the data package."""

import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    """The bytes of an image file."""
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def photo(seed: int = 0, width: int = 24, height: int = 20) -> bytes:
    """A small JPEG of noise that depends on the seed."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return encoded(Image.fromarray(pixels), "JPEG")


def tree(folder: Path, names: list[str]) -> Path:
    """A folder with a different photo under each of these names."""
    for seed, name in enumerate(sorted(names)):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(photo(seed))
    return folder


def zipped(folder: Path, target: Path) -> Path:
    """All files of a folder in a zip."""
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder))
    return target


def cats_and_dogs(count: int, folder: str = "train/") -> list[str]:
    """Names such as train/cat.0.jpg, `count` of each class."""
    return [f"{folder}{name}.{number}.jpg" for name in ("cat", "dog") for number in range(count)]
