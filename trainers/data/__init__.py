"""Data: where samples come from, how they are decoded and packed, and which of them are for training."""

from trainers.data.bulk import Arrays, Bulk
from trainers.data.curve import CURVE_NOISE
from trainers.data.decode import IMAGE_SUFFIXES, Unreadable, decode
from trainers.data.listing import Item, Listing, Progress, Split
from trainers.data.pack import Pack, Shape, open_pack, reopen_pack
from trainers.data.prepared import Prepared, Splits, splits_of
from trainers.data.source import channels_of, list_source
from trainers.data.splits import assign

__all__ = [
    "CURVE_NOISE",
    "IMAGE_SUFFIXES",
    "Arrays",
    "Bulk",
    "Item",
    "Listing",
    "Pack",
    "Prepared",
    "Progress",
    "Shape",
    "Split",
    "Splits",
    "Unreadable",
    "assign",
    "channels_of",
    "decode",
    "list_source",
    "open_pack",
    "reopen_pack",
    "splits_of",
]
