"""Data sets of a few hundred small images, drawn in the layouts of the published ones."""

import gzip
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from trainers.data.sources.cifar10 import CLASSES

SIDE = 28
BREEDS = ("Abyssinian", "pug", "Sphynx")


@dataclass(frozen=True)
class Tiny:
    """Folders with data, and an image of each kind to predict."""

    folder: Path

    @property
    def digits(self) -> Path:
        return self.folder / "digits"

    @property
    def things(self) -> Path:
        return self.folder / "things"

    @property
    def pets(self) -> Path:
        return self.folder / "pets"

    @property
    def digit(self) -> Path:
        return self.folder / "7.png"

    @property
    def thing(self) -> Path:
        return self.things / "test" / "ship" / "0.png"

    @property
    def pet(self) -> Path:
        return self.pets / "images" / "pug_1.jpg"


def draw_all(folder: Path) -> Tiny:
    """All of them, the same each time."""
    tiny = Tiny(folder)
    random = np.random.default_rng(0)
    for data in (tiny.digits, tiny.things, tiny.pets):
        data.mkdir(parents=True)
    _draw_digits(tiny.digits, random, {"train": 300, "t10k": 60})
    Image.fromarray(_digit(7, random)).save(tiny.digit)
    _draw_things(tiny.things, random, {"train": 15, "test": 2})
    _draw_pets(tiny.pets, random, {"trainval": 12, "test": 4})
    return tiny


def _digit(number: int, random: np.random.Generator) -> NDArray[np.uint8]:
    """A digit [28, 28], shifted, on noise."""
    image = Image.new("L", (SIDE, SIDE))
    x, y = random.integers(6, 11), random.integers(0, 5)
    ImageDraw.Draw(image).text((int(x), int(y)), str(number), fill=220, font=ImageFont.load_default(size=20))
    return (np.asarray(image) + random.integers(0, 30, (SIDE, SIDE))).astype(np.uint8)


def _draw_digits(folder: Path, random: np.random.Generator, counts: dict[str, int]) -> None:
    """The four files of MNIST, and of Fashion-MNIST."""
    for split, count in counts.items():
        labels = np.arange(count, dtype=np.uint8) % 10
        images = np.stack([_digit(int(label), random) for label in labels])
        for name, array in {"images-idx3": images, "labels-idx1": labels}.items():
            header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
            (folder / f"{split}-{name}-ubyte.gz").write_bytes(gzip.compress(header + array.tobytes(), mtime=0))


def _draw_things(folder: Path, random: np.random.Generator, per_class: dict[str, int]) -> None:
    """train/CLASS/NUMBER.png and test/CLASS/NUMBER.png in the classes of CIFAR-10, each of its colour."""
    colours = random.integers(40, 200, (len(CLASSES), 3))
    for split, count in per_class.items():
        for name, colour in zip(CLASSES, colours, strict=True):
            (folder / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = colour + random.integers(-30, 30, (32, 32, 3))
                Image.fromarray(pixels.astype(np.uint8)).save(folder / split / name / f"{number}.png")


def _draw_pets(folder: Path, random: np.random.Generator, per_breed: dict[str, int]) -> None:
    """images/BREED_NUMBER.jpg, and the lists that say which are for training and which for the test."""
    (folder / "images").mkdir()
    (folder / "annotations").mkdir()
    start = 1
    for split, count in per_breed.items():
        lines = []
        for label, breed in enumerate(BREEDS, start=1):
            for number in range(start, start + count):
                pixels = 60 * label + random.integers(-40, 40, (60, 48, 3))
                Image.fromarray(pixels.astype(np.uint8)).save(folder / "images" / f"{breed}_{number}.jpg")
                lines.append(f"{breed}_{number} {label} 1 1\n")
        (folder / "annotations" / f"{split}.txt").write_text("".join(lines))
        start += count
