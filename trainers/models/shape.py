"""The shape of one sample, and what a network may ask of it."""

from trainers.data import Shape
from trainers.errors import RequestError


def quarter(name: str, shape: Shape) -> int:
    """A quarter of the side of the square images, for networks that halve it twice and double it twice.

    Raises RequestError: the side is no multiple of 4, so that the way back would not give the same size.
    """
    side = shape[-1]
    if side % 4:
        raise RequestError(
            f"data.image_size: {name} wants a multiple of 4, not {side}; set {side - side % 4} or {side - side % 4 + 4}"
        )
    return side // 4
