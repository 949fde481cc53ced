"""What a pack is called: a hash of what it is made from."""

import hashlib
import json

from trainers.data.bulk import Bulk
from trainers.data.listing import Listing
from trainers.data.sources.by_name import channels_of
from trainers.experiment import Data

FORMAT = 2  # part of the key: raise it when the same source would give other bytes


def pack_key(data: Data, source: Listing | Bulk) -> str:
    """Hash of all that a pack's bytes depend on."""
    content = (
        [[item.name, item.size, item.stamp, item.label, item.split] for item in source.items]
        if isinstance(source, Listing)
        else source.stamp
    )
    return short_hash([FORMAT, data.source, data.image_size, data.fit, channels_of(data), source.classes, content])


def short_hash(content: object) -> str:
    """The first 64 bits of the SHA-256 of `content` as JSON."""
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]
