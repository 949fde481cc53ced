"""What is done about images that cannot be decoded: `data.unreadable`."""

import os
import shutil
from pathlib import Path
from typing import Literal

from trainers.data.files import Files
from trainers.data.listing import Listing
from trainers.errors import RequestError

Policy = Literal["skip", "error", "move"]


def apply_policy(policy: Policy, listing: Listing, unreadable: list[tuple[str, str]]) -> bool:
    """Do what `policy` says about the unreadable images that are still in the source.

    `move` moves them to a folder unreadable/ beside the data, under the names they have in it; nothing is overwritten.

    Returns:
        True if images were moved, so that the source has changed.

    Raises RequestError: the policy is `error`, or `move` and the source is no folder that can be written.
    """
    present = {item.name for item in listing.items}
    pending = [(name, cause) for name, cause in unreadable if name in present]
    if policy == "skip" or not pending:
        return False
    files = listing.files
    name, cause = pending[0]
    more = f" (and {len(pending) - 1} more)" if len(pending) > 1 else ""
    told = f"{files.place}: {files.prefix}{name}: {cause}{more}"
    if policy == "error":
        raise RequestError(f"{told}; mend or remove it, or set data.unreadable to skip")
    if files.folder is None:
        raise RequestError(
            f"{told}; images can be moved out of a folder only, not out of a zip or S3; set data.unreadable to skip"
        )
    for name, _ in pending:
        _move(files, files.folder, files.prefix + name)
    return True


def _move(files: Files, folder: Path, name: str) -> None:
    # abspath and not resolve: beside the link that the user named, not beside what it leads to
    place = Path(os.path.abspath(folder))  # noqa: PTH100
    target = place.parent / "unreadable" / name
    number = 0
    while target.exists():
        number += 1
        target = target.with_name(f"{Path(name).stem}.{number}{Path(name).suffix}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if (place / name).exists():  # else another process was faster
            shutil.move(place / name, target)
    except OSError as error:
        raise RequestError(
            f"{files.place}: cannot move {name} to {target}: {error.strerror}; set data.unreadable to skip"
        ) from error
