"""Data: where samples come from, how they are decoded and packed, and which of them are for training."""

from trainers.data.bulk import Arrays, Bulk
from trainers.data.decode import IMAGE_SUFFIXES, Unreadable, decode
from trainers.data.listing import Progress
from trainers.data.pack import Pack, Shape, open_pack, reopen_pack
from trainers.data.sources.by_name import list_source
from trainers.data.splits import Prepared, SplitIndices, splits_of
