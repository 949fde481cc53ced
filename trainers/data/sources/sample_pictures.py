"""Draws one cat or dog with PIL: fur, background, pose and light vary alike for both, shape alone tells them apart."""

import cmath
import math
from random import Random

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

SIZE = 96
_FINE = 2  # drawn at this multiple of SIZE and reduced, which smooths the edges
Colour = tuple[int, int, int]
Points = NDArray[np.complex128]  # x + iy, y downwards; the head's centre is 0 and its half-width about 1
_FURS: tuple[Colour, ...] = ((62, 58, 62), (128, 126, 130), (232, 226, 216), (214, 134, 66), (228, 196, 148))
_FURS += ((120, 78, 50), (170, 122, 84), (104, 114, 130))
_IRISES: tuple[Colour, ...] = ((122, 170, 70), (206, 162, 48), (84, 150, 186), (168, 112, 52))
_COLLARS: tuple[Colour, ...] = ((200, 60, 60), (60, 110, 190), (70, 150, 90), (226, 176, 58), (142, 84, 160))
_INK, _WHITE, _PINK, _BRASS = (34, 28, 30), (250, 250, 246), (222, 138, 140), (236, 200, 84)


def animal_picture(animal: str, dice: Random) -> Image.Image:
    """One RGB drawing of a "cat" or a "dog", 96×96 pixels; everything in it comes from `dice`."""
    side = SIZE * _FINE
    fur = _shade(dice, dice.choice(_FURS))
    image = _background(dice, side, fur)
    seated = dice.random() < 0.35
    x, y = dice.uniform(0.29, 0.71), dice.uniform(0.3, 0.42) if seated else dice.uniform(0.39, 0.61)
    radius = side * (dice.uniform(0.21, 0.26) if seated else dice.uniform(0.25, 0.34))
    middle = 0.12j if animal == "cat" else -0.12j  # ears up or down: both heads then fill the same rows on average
    pen = _Pen(image, dice, fur, complex(x, y) * side + middle * radius, radius)
    pen.dye(dice)
    if seated or dice.random() < 0.8:
        _body(pen, animal, dice)
    pen.turn *= cmath.rect(1, dice.gauss(0, 0.25))
    (_cat if animal == "cat" else _dog)(pen, dice)
    if dice.random() < 0.15:  # a ball or a box in front of a lower corner
        x, y, r = dice.choice((0.08, 0.92)) * side, dice.uniform(0.7, 0.95) * side, dice.uniform(0.1, 0.22) * side
        shape = pen.on.ellipse if dice.random() < 0.5 else pen.on.rectangle
        shape((x - r, y - r, x + r, y + r), fill=_unlike(dice, fur), outline=_INK, width=2)
    return _photograph(image, dice)


def _mix(a: Colour, b: Colour, share: float) -> Colour:
    return tuple(round(x + (y - x) * share) for x, y in zip(a, b, strict=True))  # type: ignore[return-value]


def _shade(dice: Random, colour: Colour) -> Colour:
    return _mix(_mix(colour, dice.choice((_INK, _WHITE)), dice.uniform(0, 0.12)), dice.choice(_FURS), 0.06)


def _unlike(dice: Random, other: Colour) -> Colour:
    """Any colour that can be told from `other`, not too gaudy."""
    while True:
        gaudy = (dice.randint(20, 245), dice.randint(20, 245), dice.randint(20, 245))
        colour = _mix(gaudy, (sum(gaudy) // 3,) * 3, 0.4)
        if math.dist(colour, other) > 80:
            return colour


def _line(*xy: float) -> Points:
    """Points from x, y, x, y, …"""
    return np.array(xy, dtype=np.float64).view(np.complex128)


def _curve(*xy: float) -> Points:
    """A smooth closed curve near the corners given: Chaikin's corner cutting, three times."""
    points = _line(*xy)
    for _ in range(3):
        after = np.roll(points, -1)
        points = np.stack([0.75 * points + 0.25 * after, 0.25 * points + 0.75 * after], axis=1).ravel()
    return points


def _mirrored(points: Points) -> Points:
    return -points.conj()


def _whole(*xy: float) -> Points:
    """A smooth closed curve from the corners of its right half, from the top (x = 0) to the bottom (x = 0)."""
    half = _line(*xy)
    return _curve(*np.concatenate([half, _mirrored(half)[-2:0:-1]]).view(np.float64))


_CIRCLE: Points = np.exp(2j * np.pi * np.arange(24) / 24)


def _oval(x: float, y: float, rx: float, ry: float, turn: float = 0.0) -> Points:
    return complex(x, y) + (rx * _CIRCLE.real + 1j * ry * _CIRCLE.imag) * cmath.rect(1, turn)


class _Pen:
    """Draws shapes given in the animal's coordinates: stretched, turned, scaled and moved onto the image."""

    def __init__(self, image: Image.Image, dice: Random, fur: Colour, centre: complex, radius: float) -> None:
        self.image, self.on = image, ImageDraw.Draw(image)
        self.centre, self.radius, self.turn = centre, radius, 1 + 0j
        self.wide, self.tall = dice.uniform(0.9, 1.08), dice.uniform(0.9, 1.08)
        self.fur, self.ink = fur, _mix(fur, _INK, dice.uniform(0.55, 0.75))
        self.second = _shade(dice, dice.choice([other for other in _FURS if math.dist(other, fur) > 70]))
        self.coat = Image.new("RGB", image.size, fur)  # the parts of the animal are cut from this

    def dye(self, dice: Random) -> None:
        """Give the coat its pattern."""
        canvas, self.on = self.on, ImageDraw.Draw(self.coat)
        pattern, mark = dice.choice(("plain", "stripes", "spots", "patches")), _mix(self.fur, self.second, 0.7)
        if pattern == "stripes":
            gap, lean = dice.uniform(0.3, 0.45), dice.uniform(-0.3, 0.3)
            for y in np.arange(-1.5, 3, gap):
                self.stroke(_line(-2, y - lean, -0.6, y, 0, y + 0.12, 0.6, y, 2, y + lean), mark, gap / 3)
        elif pattern != "plain":
            count, low, high = (40, 0.05, 0.16) if pattern == "spots" else (6, 0.3, 0.6)
            for _ in range(count):
                r = dice.uniform(low, high)
                self.fill(_oval(dice.uniform(-1.3, 1.3), dice.uniform(-1.3, 2.8), r, 0.8 * r, dice.uniform(0, 3)), mark)
        self.on = canvas

    def _place(self, points: Points) -> list[float]:
        size = self.turn * self.radius
        placed = points * (size * (self.wide + self.tall) / 2) + points.conj() * (size * (self.wide - self.tall) / 2)
        return (placed + self.centre).view(np.float64).tolist()  # type: ignore[no-any-return]

    def fill(self, points: Points, colour: Colour) -> None:
        self.on.polygon(self._place(points), fill=colour)

    def stroke(self, points: Points, colour: Colour, width: float) -> None:
        pixels = max(1, round(width * self.radius))
        self.on.line(self._place(points), fill=colour, width=pixels, joint="curve" if pixels > 3 else None)

    def furry(self, points: Points, colour: Colour | None = None) -> None:
        """A part of the animal with its outline: of one colour, or cut from the coat."""
        if colour is None:
            mask = Image.new("1", self.image.size)
            ImageDraw.Draw(mask).polygon(self._place(points), fill=1)
            self.image.paste(self.coat, mask=mask)
        else:
            self.fill(points, colour)
        self.stroke(np.concatenate([points, points[:2]]), self.ink, 0.06)


_CAT_EAR, _CAT_HOLLOW = _line(-0.92, -0.1, -0.9, -1.35, -0.12, -0.72), _line(-0.8, -0.4, -0.84, -1.1, -0.34, -0.7)
_CAT_FACE = _whole(0, -0.84, 0.6, -0.76, 0.98, -0.1, 1.08, 0.42, 0.5, 0.86, 0, 0.9)
_CAT_NOSE = _line(-0.13, 0.24, 0.13, 0.24, 0, 0.4)
_CAT_MOUTH = _line(-0.24, 0.54, -0.1, 0.58, 0, 0.5, 0, 0.38, 0, 0.5, 0.1, 0.58, 0.24, 0.54)
_DOG_FACE = _whole(0, -0.9, 0.55, -0.84, 0.84, -0.3, 0.78, 0.3, 0.56, 0.9, 0, 1.08)
_DOG_EARS = (  # hanging, long, folded over
    _curve(-0.4, -0.88, -0.9, -0.8, -1.3, -0.1, -1.25, 0.6, -0.95, 0.65, -0.78, -0.1),
    _curve(-0.4, -0.88, -0.9, -0.84, -1.25, -0.1, -1.35, 0.9, -0.95, 0.95, -0.78, -0.1),
    _curve(-0.3, -0.85, -0.75, -1.2, -1.25, -0.75, -1.3, -0.2, -1.05, -0.15, -0.8, -0.4),
)
_DOG_MUZZLE = _whole(0, -0.05, 0.16, -0.05, 0.5, 0.4, 0.46, 0.95, 0, 0.98)
_DOG_NOSE = _whole(0, 0.1, 0.36, 0.1, 0.24, 0.44, 0, 0.52)
_DOG_MOUTH = _line(-0.34, 0.72, -0.14, 0.78, 0, 0.68, 0, 0.4, 0, 0.68, 0.14, 0.78, 0.34, 0.72)
_DOG_TONGUE = _whole(0, 0.72, 0.17, 0.72, 0.2, 1.15, 0, 1.25)
_TAILS = {
    "cat": _line(0.5, 2.4, 1.0, 2.5, 1.4, 2.3, 1.55, 1.9, 1.45, 1.5, 1.5, 1.2, 1.65, 1.05),
    "dog": _line(0.5, 2.4, 0.9, 2.3, 1.2, 2.0, 1.35, 1.7, 1.4, 1.4),
}
_TRUNK = _whole(0, 0.4, 0.6, 0.5, 0.8, 1.3, 1.05, 2.2, 0.95, 2.75, 0, 2.8)
_CHEST = _whole(0, 0.8, 0.35, 0.8, 0.4, 1.5, 0, 2.0)
_LEG = _curve(-0.5, 1.3, -0.12, 1.4, -0.08, 2.7, -0.2, 2.95, -0.6, 2.95, -0.62, 2.6)


def _body(pen: _Pen, animal: str, dice: Random) -> None:
    """Seated, seen from the front: tail, trunk, chest, legs and perhaps a collar."""
    tail = _TAILS[animal] if dice.random() < 0.5 else _mirrored(_TAILS[animal])
    for colour, width in ((pen.ink, 0.46), (pen.fur, 0.34)):
        pen.stroke(tail, colour, width)
        pen.fill(_oval(tail[-1].real, tail[-1].imag, width / 2, width / 2), colour)
    pen.furry(_TRUNK)
    if dice.random() < 0.5:
        pen.fill(_CHEST, _mix(pen.second, _WHITE, 0.3))
    pen.furry(_LEG)
    pen.furry(_mirrored(_LEG))
    if dice.random() < 0.4:
        pen.stroke(_line(-0.66, 0.78, -0.3, 1.0, 0.3, 1.0, 0.66, 0.78), dice.choice(_COLLARS), 0.2)
        pen.fill(_oval(0, 1.14, 0.14, 0.14), _BRASS)


def _cat(pen: _Pen, dice: Random) -> None:
    inner = _mix(pen.fur, _PINK, dice.uniform(0.5, 0.9))
    for ear, hollow in ((_CAT_EAR, _CAT_HOLLOW), (_mirrored(_CAT_EAR), _mirrored(_CAT_HOLLOW))):
        pen.furry(ear)
        pen.fill(hollow, inner)
    pen.furry(_CAT_FACE)
    look, iris = dice.uniform(-0.14, 0.14), dice.choice(_IRISES)  # the way it looks moves the features sideways
    if dice.random() < 0.5:
        for x in (-0.17, 0.17):
            pen.fill(_oval(x + look, 0.42, 0.24, 0.2), _mix(pen.second, _WHITE, 0.4))
    lid, slit = dice.uniform(0.2, 0.26), dice.uniform(0.05, 0.09)
    for x, slant in ((look - 0.42, 0.25), (look + 0.42, -0.25)):
        pen.fill(_oval(x, -0.06, 0.31, lid + 0.05, slant), _INK)
        pen.fill(_oval(x, -0.06, 0.27, lid, slant), iris)
        pen.fill(_oval(x, -0.06, slit, lid - 0.01), _INK)
        pen.fill(_oval(x + 0.06, -0.14, 0.045, 0.045), _WHITE)
    pen.fill(_CAT_NOSE + look, _mix(_PINK, _INK, dice.choice((0.0, 0.3, 0.85))))
    pen.stroke(_CAT_MOUTH + look, pen.ink, 0.05)
    hair = _mix(pen.fur, _WHITE if sum(pen.fur) < 420 else _INK, 0.7)
    for rise in (-0.16, 0.02, 0.2):
        whisker = _line(-0.36, 0.42 + rise / 3, -0.8, 0.36 + rise, -1.32, 0.4 + 1.6 * rise)
        pen.stroke(whisker + look, hair, 0.035)
        pen.stroke(_mirrored(whisker) + look, hair, 0.035)


def _dog(pen: _Pen, dice: Random) -> None:
    pen.furry(_DOG_FACE)
    look = dice.uniform(-0.14, 0.14)
    pen.fill(_DOG_MUZZLE + look, _mix(pen.fur, dice.choice((pen.second, _INK, _WHITE)), dice.uniform(0.2, 0.7)))
    iris = _mix(dice.choice(_IRISES), _INK, 0.55)
    for x in (look - 0.37, look + 0.37):
        for r, colour in ((0.16, pen.ink), (0.14, iris), (0.09, _INK)):
            pen.fill(_oval(x, -0.2, r, r), colour)
        pen.fill(_oval(x + 0.05, -0.26, 0.045, 0.045), _WHITE)
    if dice.random() < 0.55:
        pen.fill(_DOG_TONGUE + look, _mix(_PINK, (210, 70, 90), dice.uniform(0.2, 0.8)))
    pen.stroke(_DOG_MOUTH + look, pen.ink, 0.055)
    pen.fill(_DOG_NOSE + look, _mix(_INK, (150, 96, 84), dice.choice((0.0, 0.0, 0.8))))
    pen.fill(_oval(look - 0.07, 0.2, 0.07, 0.035), _mix(_INK, _WHITE, 0.6))
    ear, dyed = dice.choice(_DOG_EARS), dice.choice((None, None, _mix(pen.fur, _INK, 0.3), pen.second))
    pen.furry(ear, dyed)
    pen.furry(_mirrored(ear), dyed)


def _background(dice: Random, side: int, fur: Colour) -> Image.Image:
    """A place to be: soft light, wallpaper, leaves, a room or hills, in colours that are not the fur's."""
    a, b = _unlike(dice, fur), _unlike(dice, fur)
    c, d = _mix(a, _unlike(dice, fur), 0.6), _mix(b, _unlike(dice, fur), 0.6)
    cells = np.array([[_mix(a, b, dice.random()) for _ in range(3)] for _ in range(3)], dtype=np.uint8)
    image = Image.fromarray(cells).resize((side, side), Image.Resampling.BILINEAR)
    on, kind = ImageDraw.Draw(image), dice.choice(("soft", "wallpaper", "leaves", "room", "hills"))
    if kind == "wallpaper":
        gap, lean = dice.uniform(0.06, 0.18) * side, dice.uniform(-0.8, 0.8) * side
        for x in np.arange(-side, 2 * side, gap):
            on.line((x, 0, x + lean, side), fill=c, width=round(gap * 0.4))
    elif kind == "leaves":
        for _ in range(50):
            x, y, r = dice.uniform(0, side), dice.uniform(0, side), dice.uniform(0.02, 0.08) * side
            on.ellipse((x - r, y - r / 2, x + r, y + r), fill=dice.choice((a, b, c, d)))
    elif kind == "room":
        floor = dice.uniform(0.55, 0.85) * side
        on.rectangle((0, floor, side, side), fill=c)
        for _ in range(dice.randint(1, 4)):
            x, w, h = dice.uniform(-0.2, 1) * side, dice.uniform(0.15, 0.5) * side, dice.uniform(0.2, 0.7) * side
            box = (x, floor - h, x + w, floor + 0.1 * side)
            on.rectangle(box, fill=dice.choice((b, d)), outline=_mix(d, _INK, 0.5), width=3)
    elif kind == "hills":
        for k, colour in enumerate((c, d, _mix(c, d, 0.5))):
            x, y, r = dice.uniform(0, side), (0.75 + 0.15 * k) * side, dice.uniform(0.4, 0.9) * side
            on.ellipse((x - 1.6 * r, y - r / 3, x + 1.6 * r, y + 2 * r), fill=colour)
    return image


def _photograph(image: Image.Image, dice: Random) -> Image.Image:
    """Reduce the drawing as a camera would see it: light, contrast, focus and noise."""
    image = image.reduce(_FINE)
    if dice.random() < 0.25:
        image = image.filter(ImageFilter.GaussianBlur(dice.uniform(0.3, 0.8)))
    contrast, light, noise = dice.uniform(0.85, 1.15), dice.uniform(-25, 25), dice.uniform(0, 6)
    grain = np.random.default_rng(dice.getrandbits(64)).standard_normal((SIZE, SIZE, 1), dtype=np.float32)
    pixels = np.asarray(image) * np.float32(contrast) + (grain * noise + (128 * (1 - contrast) + light))
    return Image.fromarray(pixels.clip(0, 255, out=pixels).astype(np.uint8))
