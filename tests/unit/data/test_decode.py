import struct
import subprocess
import sys
import zlib
from contextlib import suppress
from importlib import import_module
from io import BytesIO

import numpy as np
import pytest
from images import encoded, photo
from PIL import Image

from trainers.data.decode import Unreadable, decode, fitted

# Pytest sets filters of its own around each test; what a user sees is tested below.
pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning:PIL.TiffImagePlugin"),
    pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning"),
]

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def plain(colour, mode="RGB", size=(16, 16)):
    return Image.new(mode, size, colour)


def near(pixels, colour, tolerance=6):
    return np.abs(pixels.astype(int) - np.array(colour)).max() <= tolerance


def noise(width, height, spread=60):
    pixels = np.random.default_rng(0).normal(128, spread, (height, width)).clip(0, 255)
    return Image.fromarray(pixels.astype(np.uint8))


def left_red_right_blue(width=32, height=32):
    image = plain(RED, size=(width, height))
    image.paste(BLUE, (width // 2, 0, width, height))
    return image


@pytest.mark.parametrize("fit", ["crop", "squash", "pad"])
@pytest.mark.parametrize("shape", [(40, 30), (30, 40), (5, 5), (200, 3), (1, 1)])
def test_every_fit_gives_a_square_of_bytes(fit, shape):
    pixels = decode(photo(0, *shape), 16, fit)
    assert pixels.shape == (16, 16, 3)
    assert pixels.dtype == np.uint8


def test_crop_keeps_the_middle():
    image = plain(RED, size=(60, 20))
    image.paste(GREEN, (20, 0, 40, 20))
    assert near(decode(encoded(image, "PNG"), 10, "crop"), GREEN, 20)


def test_squash_keeps_everything():
    pixels = decode(encoded(left_red_right_blue(64, 16), "PNG"), 16, "squash")
    assert near(pixels[:, 0], RED)
    assert near(pixels[:, -1], BLUE)


def test_pad_centres_the_whole_image_on_mid_grey():
    pixels = decode(encoded(plain(RED, size=(64, 32)), "PNG"), 16, "pad")
    assert near(pixels[4:12], RED, 0)
    assert near(pixels[:4], (128,) * 3, 0)
    assert near(pixels[12:], (128,) * 3, 0)


@pytest.mark.parametrize("fit", ["crop", "squash", "pad"])
def test_downscaling_is_antialiased(fit):
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 255
    pixels = decode(encoded(Image.fromarray(stripes), "PNG"), 16, fit)
    assert near(pixels[2:-2, 2:-2], (127,) * 3, 3)


# What turns (left red, right blue) into the stored image, and EXIF's number for turning it back.
STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", STORED)
def test_exif_orientation_is_undone(kind, orientation):
    upright = left_red_right_blue(64, 32)
    upright.paste(GREEN, (0, 0, 64, 8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = decode(encoded(upright.transpose(STORED[orientation]), kind, exif=exif), 32, "squash")
    assert near(pixels[2, 16], GREEN, 60)
    assert near(pixels[24, 4], RED, 60)
    assert near(pixels[24, 28], BLUE, 60)


def test_damaged_exif_leaves_a_photo_readable():
    assert near(decode(encoded(plain(RED), "JPEG", exif=b"Exif\0\0MM\0*\0\0\xff\xff rubbish"), 8, "crop"), RED)


@pytest.mark.parametrize(
    ("mode", "colour", "kind", "expected"),
    [
        ("L", 90, "JPEG", (90,) * 3),
        ("L", 90, "PNG", (90,) * 3),
        ("1", 1, "PNG", WHITE),
        ("1", 0, "TIFF", (0,) * 3),
        ("LA", (90, 255), "PNG", (90,) * 3),
        ("LA", (0, 0), "PNG", WHITE),
        ("RGBA", (255, 0, 0, 0), "PNG", WHITE),
        ("RGBA", (255, 0, 0, 128), "PNG", (255, 127, 127)),
        ("RGBA", (0, 0, 255, 0), "WEBP", WHITE),
        ("RGB", RED, "BMP", RED),
        ("RGB", RED, "PPM", RED),
        ("RGB", RED, "GIF", RED),
        ("CMYK", (0, 255, 255, 0), "JPEG", RED),
        ("CMYK", (255, 255, 0, 0), "TIFF", BLUE),
        ("YCbCr", (76, 85, 255), "JPEG", RED),
    ],
)
def test_every_colour_mode_becomes_rgb(mode, colour, kind, expected):
    options = {"lossless": True} if kind == "WEBP" else {}
    assert near(decode(encoded(plain(colour, mode), kind, **options), 8, "crop"), expected)


@pytest.mark.parametrize(
    ("mode", "colour", "kind", "expected"),
    [
        ("L", 90, "JPEG", 90),
        ("1", 1, "PNG", 255),
        ("LA", (90, 255), "PNG", 90),
        ("RGBA", (255, 0, 0, 0), "PNG", 255),
        ("RGB", RED, "PNG", 76),
        ("RGB", GREEN, "GIF", 150),
        ("RGB", BLUE, "JPEG", 29),
        ("CMYK", (0, 255, 255, 0), "TIFF", 76),
    ],
)
@pytest.mark.parametrize("fit", ["crop", "squash", "pad"])
def test_every_colour_mode_becomes_grey_by_bt_601(mode, colour, kind, expected, fit):
    pixels = decode(encoded(plain(colour, mode), kind), 8, fit, 1)
    assert pixels.shape == (8, 8, 1)
    assert near(pixels, expected, 2)


def test_a_grey_image_is_padded_with_mid_grey():
    pixels = decode(encoded(plain(0, "L", (16, 8)), "PNG"), 8, "pad", 1)
    assert pixels[:, 0, 0].tolist() == [128, 128, 0, 0, 0, 0, 128, 128]


@pytest.mark.parametrize("fit", ["crop", "squash", "pad"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_pixels_in_memory_are_fitted_as_those_of_a_file_are(fit, channels, mode):
    image = left_red_right_blue(40, 30).convert(mode)
    pixels = np.asarray(image).reshape(30, 40, -1)
    assert np.array_equal(fitted(pixels, 16, fit, channels), decode(encoded(image, "PNG"), 16, fit, channels))


def test_a_transparent_palette_entry_becomes_white():
    image = left_red_right_blue().quantize(2)
    transparent = image.getpixel((0, 0))
    pixels = decode(encoded(image, "PNG", transparency=transparent), 8, "squash")
    assert near(pixels[:, 0], WHITE)
    assert near(pixels[:, -1], BLUE)


def test_a_palette_with_graded_transparency_is_laid_over_white():
    image = left_red_right_blue().quantize(2)
    alphas = bytearray([255, 255])
    alphas[image.getpixel((0, 0))] = 128
    pixels = decode(encoded(image, "PNG", transparency=bytes(alphas)), 8, "squash")
    assert near(pixels[:, 0], (255, 127, 127))
    assert near(pixels[:, -1], BLUE)


def test_a_transparent_colour_key_becomes_white():
    pixels = decode(encoded(left_red_right_blue(), "PNG", transparency=RED), 8, "squash")
    assert near(pixels[:, 0], WHITE)
    assert near(pixels[:, -1], BLUE)


RAMP = np.linspace(0, 1, 16)[None].repeat(16, 0)


@pytest.mark.parametrize(
    ("grey", "kind"),
    [
        ((RAMP * 65535).astype(np.uint16), "PNG"),
        ((RAMP * 65535).astype(np.uint16), "TIFF"),
        ((RAMP * 65535).astype(np.uint16), "PPM"),
        ((RAMP * 2e9).astype(np.int32), "TIFF"),
        (RAMP.astype(np.float32), "TIFF"),
        ((RAMP * 500 - 100).astype(np.float32), "TIFF"),
    ],
)
def test_deep_grey_is_scaled_and_not_clipped(grey, kind):
    pixels = decode(encoded(Image.fromarray(grey), kind), 16, "crop")
    assert near(pixels[:, :, 0], RAMP * 255, 1)


def test_half_of_the_range_stays_half_as_bright():
    sixteen = np.full((8, 8), 32768, np.uint16)
    unit = np.full((8, 8), 0.5, np.float32)
    assert near(decode(encoded(Image.fromarray(sixteen), "PNG"), 8, "crop"), (128,) * 3, 1)
    assert near(decode(encoded(Image.fromarray(unit), "TIFF"), 8, "crop"), (128,) * 3, 1)


def test_values_that_are_no_numbers_are_black():
    grey = np.full((8, 8), np.nan, np.float32)
    grey[:, 4:] = 1
    pixels = decode(encoded(Image.fromarray(grey), "TIFF"), 8, "crop")
    assert near(pixels[:, 0], (0,) * 3)
    assert near(pixels[:, -1], WHITE)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_of_an_animation_the_first_frame_is_taken(kind):
    data = encoded(plain(RED), kind, save_all=True, append_images=[plain(BLUE), plain(GREEN)])
    with Image.open(BytesIO(data)) as image:
        assert getattr(image, "n_frames", 1) == 3
    assert near(decode(data, 8, "crop"), RED)


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (b"", "empty file"),
        (b"this is a text, not a photo\n" * 20, "not an image of a known format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image of a known format"),
        (photo(0, 200, 200)[:3000], "truncated"),
        (photo(0, 200, 200)[:30], ""),
        (encoded(plain(RED, size=(99, 99)), "PNG")[:60], ""),
        (encoded(noise(99, 99), "TIFF")[:1000], ""),
        (encoded(noise(99, 99), "WEBP")[:1000], ""),
        (encoded(noise(99, 99), "GIF")[:1000], ""),
        (b"\xff\xd8\xff", ""),
        (b"\x89PNG\r\n\x1a\n", ""),
        (b"\0\0\0\x18ftypheic" + bytes(50), "not an image of a known format"),
    ],
)
def test_what_cannot_be_decoded_is_unreadable_with_a_short_cause(data, cause):
    with pytest.raises(Unreadable) as caught:
        decode(data, 16, "crop")
    assert cause in str(caught.value)
    assert 0 < len(str(caught.value)) < 100
    assert "\n" not in str(caught.value)
    assert "BytesIO" not in str(caught.value)


def test_damage_anywhere_in_a_file_is_unreadable_or_decoded_but_nothing_else():
    generator = np.random.default_rng(0)
    for kind in ("JPEG", "PNG", "GIF", "TIFF", "BMP", "WEBP"):
        whole = encoded(noise(40, 40).convert("RGB"), kind)
        for _ in range(60):
            data = bytearray(whole)
            for place in generator.integers(0, len(data), 5):
                data[place] = generator.integers(256)
            with suppress(Unreadable):
                assert decode(bytes(data), 8, "crop").shape == (8, 8, 3)


def huge_png(width, height):
    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(("width", "height", "megapixels"), [(10_000, 9_500, 95), (30_000, 20_000, 600)])
def test_an_image_above_the_limit_is_unreadable_and_its_size_named(width, height, megapixels):
    with pytest.raises(Unreadable, match=f"too large: {megapixels} megapixels, at most 89 are decoded"):
        decode(huge_png(width, height), 16, "crop")


def test_a_huge_photo_is_decoded_at_reduced_size(monkeypatch):
    data = encoded(left_red_right_blue(4096, 2048), "JPEG")
    monkeypatch.setattr(import_module("trainers.data.decode"), "PIXEL_LIMIT", 512 * 256)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    pixels = decode(data, 64, "squash")
    assert near(pixels[:, 0], RED)
    assert near(pixels[:, -1], BLUE)
    with pytest.raises(Unreadable, match="too large: 8 megapixels"):
        decode(data, 1024, "squash")


@pytest.mark.parametrize("fit", ["crop", "squash", "pad"])
@pytest.mark.parametrize("shape", [(640, 480), (481, 641), (645, 639), (1000, 800)])
def test_reduced_decoding_looks_like_full_decoding(fit, shape):
    clouds = noise(shape[0] // 8, shape[1] // 8).resize(shape)
    reduced = decode(encoded(clouds, "JPEG", quality=95), 32, fit)
    full = decode(encoded(clouds, "PNG"), 32, fit)
    difference = np.abs(reduced.astype(int) - full.astype(int))
    assert difference.mean() < 2.5
    assert difference.max() < 20


def test_pillows_warnings_are_not_shown():
    program = (
        "import sys; from trainers.data.decode import decode, Unreadable\n"
        "try: decode(sys.stdin.buffer.read(), 8, 'crop')\n"
        "except Unreadable as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], input=huge_png(10_000, 9_500), capture_output=True, check=True
    )
    assert done.stdout.startswith(b"too large: 95 megapixels")
    assert done.stderr == b""
