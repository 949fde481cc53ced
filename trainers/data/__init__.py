"""Data: where images come from, how they are decoded and packed, and which of them are for training."""

from trainers.data.decode import IMAGE_SUFFIXES, Unreadable, decode
from trainers.data.listing import Item, Listing, Progress, Split
from trainers.data.pack import Pack, open_pack, reopen_pack
from trainers.data.prepared import Splits, splits_of
from trainers.data.source import list_source
from trainers.data.splits import assign

__all__ = [
    "IMAGE_SUFFIXES",
    "Item",
    "Listing",
    "Pack",
    "Progress",
    "Split",
    "Splits",
    "Unreadable",
    "assign",
    "decode",
    "list_source",
    "open_pack",
    "reopen_pack",
    "splits_of",
]
