"""Options of the data."""

import re
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from trainers.catalogue import SOURCES
from trainers.experiment.section import Fraction, Section, Share, one_of


class Augment(Section):
    """Random changes to training images, drawn anew for each image in each epoch; none at all by default."""

    flip: Fraction = Field(0.0, description="probability of a left-right mirror image")
    zoom: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, description="random crop: the side is scaled by 1 - zoom to 1, at a random place"
    )
    rotate: Annotated[float, Field(ge=0, le=180)] = Field(0.0, description="largest rotation either way, in degrees")
    color: Fraction = Field(0.0, description="largest relative change of brightness, contrast and saturation")
    crop: Annotated[int, Field(ge=0, le=64)] = Field(
        0, description="random shift: padded by so many pixels, cropped back at a random place"
    )
    cutout: Fraction = Field(0.0, description="a square of this share of the side is blotted out at a random place")
    randaugment: Annotated[int, Field(ge=0, le=10)] = Field(
        0, description="RandAugment: so many random operations per image (torchvision's, image by image: slower)"
    )
    randaugment_magnitude: Annotated[int, Field(ge=0, le=30)] = Field(9, description="strength of RandAugment")
    mixup: Annotated[float, Field(ge=0)] = Field(
        0.0, description="MixUp: alpha of the Beta distribution by which two images and their classes are blended"
    )
    cutmix: Annotated[float, Field(ge=0)] = Field(
        0.0, description="CutMix: alpha for the size of the patch from another image; with mixup, one of the two"
    )


class Data(Section):
    """What to train on."""

    source: Annotated[str, one_of(SOURCES, "source")] = Field(
        "sample", description="; ".join(f"{name}: {source.about}" for name, source in SOURCES.items())
    )
    path: str | None = Field(
        None, description="the source's folder, .zip file or s3:// prefix; unset, what is drawn or downloaded"
    )
    download: bool = Field(True, description="fetch mnist, fashion-mnist, cifar10, oxford-pets if they are not there")
    pattern: str | None = Field(
        None, description="names, oxford-pets: regular expression whose first group in a file's name is its class"
    )
    image_size: Annotated[int, Field(ge=8, le=1024)] = Field(64, description="side of the square image, in pixels")
    channels: Literal["auto", "grey", "rgb"] = Field(
        "auto", description="auto: grey for mnist and fashion-mnist, else rgb"
    )
    normalise: Literal["imagenet", "mnist", "unit", "symmetric"] = Field(
        "imagenet", description="pixels to mean 0, deviation 1 of ImageNet or MNIST, to 0…1 (unit) or -1…1 (symmetric)"
    )
    fit: Literal["crop", "squash", "pad"] = Field(
        "crop",
        description="how a photo becomes square: crop keeps the middle, squash ignores the aspect ratio, "
        "pad keeps all with grey bars",
    )
    validation: Share = Field(
        0.08, description="held out of train for validation where the source has none: a fraction (< 1) or a count"
    )
    test: Share = Field(
        0.08, description="held out of train for test where the source has none: a fraction (< 1) or a count"
    )
    unreadable: Literal["skip", "error", "move"] = Field(
        "skip",
        description="an unreadable image is left out and counted (skip), stops the run (error), or is also moved "
        "to a folder unreadable/ beside the data (move)",
    )
    augment: Augment = Field(Augment(), description="random changes to training images")

    @model_validator(mode="after")
    def _path_fits_source(self) -> Self:
        at = SOURCES[self.source].at
        if at == "here" and self.path is not None:
            raise ValueError(
                f"path: the source `{self.source}` is made here and takes no path; name another data.source"
            )
        if at == "path" and self.path is None:
            raise ValueError(f"path: the source `{self.source}` needs a folder, a .zip file or an s3:// prefix")
        return self

    @model_validator(mode="after")
    def _shift_stays_inside(self) -> Self:
        if self.augment.crop >= self.image_size:
            raise ValueError(f"augment.crop: {self.augment.crop} shifts images of {self.image_size} px out of sight")
        return self

    @model_validator(mode="after")
    def _pattern_finds_a_class(self) -> Self:
        if self.pattern is None:
            if self.source == "names":
                raise ValueError("pattern: the source `names` needs one, such as '^(.+)_[0-9]+[.]jpg$'")
            return self
        try:
            groups = re.compile(self.pattern).groups
        except re.error as error:
            raise ValueError(f"pattern: {self.pattern!r} is no regular expression: {error}") from None
        if groups == 0:
            raise ValueError(f"pattern: {self.pattern!r} has no group (…) for the class")
        return self
