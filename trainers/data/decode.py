"""One photo's bytes, whatever their format, to a square array of RGB or grey bytes."""

import re
import warnings
from contextlib import suppress
from io import BytesIO
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, JpegImagePlugin, UnidentifiedImageError

# What a file must be called to be taken for an image. Pillow cannot read HEIC: listed so that a phone's photos are
# reported as unreadable and not passed over in silence.
IMAGE_SUFFIXES = frozenset(
    ".jpg .jpeg .png .webp .gif .bmp .tif .tiff .ppm .pgm .pbm .avif .heic .heif".split()  # noqa: SIM905
)
# What is looked for inside. Pillow knows more, but some of it calls other programs (EPS) or is no photo (fonts, video).
_FORMATS = ("PNG", "GIF", "WEBP", "TIFF", "BMP", "PPM", "AVIF")  # and JPEG, in its own way

PIXEL_LIMIT = 89_478_485  # Pillow's own: a quarter of a GiB at 3 bytes per pixel
_GAP = 2  # reduce while decoding to no less than this multiple of what is wanted, and resample the rest well

# Pillow warns of damaged metadata and large sizes; both are dealt with below. For the whole process and for good,
# since a filter cannot be set for one thread alone before Python 3.14.
warnings.filterwarnings("ignore", module=r"PIL\.")

# EXIF's orientation (tag 0x0112) and what undoes it; Exif 2.32, section 4.6.4.
_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

Fit = Literal["crop", "squash", "pad"]
_MODES = {1: "L", 3: "RGB"}  # Pillow's names by the number of channels


class Unreadable(ValueError):
    """An image that cannot be decoded; the message is the cause in a few words."""


def decode(data: bytes, size: int, fit: Fit, channels: int = 3) -> NDArray[np.uint8]:
    """Decode an image file into bytes [size, size, channels].

    - Turned upright as its EXIF orientation says; colour profiles are ignored.
    - Grey and 1-bit become RGB, or colours grey by the weights of ITU-R BT.601; CMYK and YCCK are converted; palettes
      and transparency are laid over white.
    - 16-bit grey is scaled from 0…65535. Floating-point grey is scaled from 0…1 if all its values lie there. Any other
      32-bit or floating-point grey, which has no agreed range, from its own smallest to its largest value.
    - Of an animation the first frame.
    - A JPEG is decoded at 1/2, 1/4 or 1/8 of its size where that is still twice what is wanted (libjpeg's scaled
      DCT). What then still has more than `PIXEL_LIMIT` pixels is unreadable.
    - Resampled bicubically with antialiasing.

    Args:
        data: the whole file.
        size: side of the square in pixels.
        fit: `crop` scales the shorter side to `size` and keeps the middle; `squash` ignores the aspect ratio; `pad`
            scales the longer side to `size` and centres the image on mid-grey.
        channels: 3 for RGB, 1 for grey.

    Raises Unreadable: the bytes are no image, truncated, damaged or too large.
    """
    if not data:
        raise Unreadable("empty file")
    try:
        image, extent = _open(data, size, fit)
        if image.width * image.height > PIXEL_LIMIT:
            raise Unreadable(_too_large(image.width * image.height))
        image.load()
        turn = _turn(image)
        # Turned when small and square, which is quicker and the same: the fits do not prefer a side.
        square = _fit(_opaque(image, _MODES[channels]), extent or image.size, size, fit)
        return _pixels(square if turn is None else square.transpose(turn))
    except (Unreadable, MemoryError):
        raise
    except Exception as error:  # Pillow's readers raise nearly anything when given damaged bytes
        raise Unreadable(_cause(error)) from error


def fitted(pixels: NDArray[np.uint8], size: int, fit: Fit, channels: int) -> NDArray[np.uint8]:
    """Bytes [H, W, 1 or 3] as bytes [size, size, channels], by the same rules as `decode`."""
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    return _pixels(_fit(_opaque(image, _MODES[channels]), image.size, size, fit))


def _open(data: bytes, size: int, fit: Fit) -> tuple[Image.Image, tuple[float, float] | None]:
    """The image before its decoding and, if that is reduced, the width and height that the photo takes up in it."""
    if not data.startswith(b"\xff\xd8\xff"):
        return Image.open(BytesIO(data), formats=_FORMATS), None
    # Not Image.open: it refuses a huge photo before its decoding could be reduced.
    image = JpegImagePlugin.JpegImageFile(BytesIO(data))
    wanted = size * _GAP
    shape = (wanted, wanted)
    if fit == "pad":
        longer = max(image.size)
        shape = (max(1, wanted * image.width // longer), max(1, wanted * image.height // longer))
    drafted = image.draft(None, shape)
    return image, drafted and drafted[1][2:]


def _too_large(pixels: int) -> str:
    return f"too large: {pixels / 1e6:.0f} megapixels, at most {PIXEL_LIMIT / 1e6:.0f} are decoded"


def _turn(image: Image.Image) -> Image.Transpose | None:
    with suppress(Exception):  # the pixels are there already: damaged EXIF leaves a photo as it lies
        return _UPRIGHT.get(image.getexif().get(_ORIENTATION, 1))
    return None


def _opaque(image: Image.Image, mode: str) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        image = Image.fromarray(_to_bytes(np.asarray(image)))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image if image.mode == mode else image.convert(mode)


def _pixels(image: Image.Image) -> NDArray[np.uint8]:
    return np.array(image).reshape(image.height, image.width, -1)


def _to_bytes(grey: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Scales deep grey [H, W] to bytes by the rule that `decode` states; 0 where a value is not finite."""
    values = np.nan_to_num(grey.astype(np.float32), posinf=0, neginf=0)
    low, high = float(values.min()), float(values.max())
    if grey.dtype.kind == "f" and low >= 0 and high <= 1:
        low, high = 0, 1
    elif grey.dtype.kind != "f" and low >= 0 and high <= 65535:  # Pillow opens 16 bits as 32 in some formats
        low, high = 0, 65535
    return np.asarray(np.rint((values - low) * (255 / max(high - low, 1e-30))), np.uint8)


def _fit(image: Image.Image, extent: tuple[float, float], size: int, fit: Fit) -> Image.Image:
    """The top left `extent` of an image, made square."""
    width, height = extent
    box = (0.0, 0.0, width, height)
    inner = (size, size)
    if fit == "crop":
        side = min(width, height)
        left, top = (width - side) / 2, (height - side) / 2
        box = (left, top, left + side, top + side)
    elif fit == "pad":
        scale = size / max(width, height)
        inner = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = image.resize(inner, Image.Resampling.BICUBIC, box=box, reducing_gap=_GAP)
    if inner == (size, size):
        return small
    square = Image.new(image.mode, (size, size), "#808080")
    square.paste(small, ((size - inner[0]) // 2, (size - inner[1]) // 2))
    return square


def _cause(error: Exception) -> str:
    text = str(error)
    if isinstance(error, UnidentifiedImageError):
        return "not an image of a known format"
    if isinstance(error, Image.DecompressionBombError):
        return _too_large(int(re.findall(r"\d+", text)[0]))  # Pillow tells the size in its message alone
    if "truncated" in text.lower() or isinstance(error, EOFError):
        return "truncated"
    return f"damaged: {text.splitlines()[0]}" if text else f"damaged ({type(error).__name__})"
