"""What ranks that are started again are to know of the memory that ran out: files in the run's folder."""

import json
import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

NOTE = "memory.json"
# Where a container's kernel counts whom it has killed (cgroups, version 2 and 1).
KILLS = (Path("/sys/fs/cgroup/memory.events"), Path("/sys/fs/cgroup/memory/memory.oom_control"))


@dataclass(frozen=True)
class Note:
    """What is known of a run's memory from before its ranks were started again.

    Attributes:
        failed: the micro-batch with which memory ran out; 0: that of then, whatever it was.
        cause: what ran out.
    """

    failed: int
    cause: str

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """The note in a run's folder, if there is one."""
        try:
            content = json.loads((folder / NOTE).read_text())
            return cls(int(content["failed"]), str(content["cause"]))
        except (OSError, ValueError, KeyError):
            return None

    def write(self, folder: Path) -> None:
        """Writes it, whole or not at all; raises OSError if the folder cannot be written."""
        _write(folder / NOTE, json.dumps(asdict(self)))


def was_killed(folder: Path, events: Path | None = None) -> bool:
    """Whether the kernel has killed a process of this machine's container for memory since this was last asked.

    What was asked before is kept in the run's folder, by the machine's name.
    """
    found = next((path for path in ([events] if events else KILLS) if path.exists()), None)
    if found is None:
        return False
    count = next((int(line.split()[1]) for line in found.read_text().splitlines() if line.startswith("oom_kill ")), 0)
    kept = folder / f"oom-kills-{platform.node()}"
    before = int(kept.read_text()) if kept.exists() else count
    _write(kept, str(count))
    return count > before


def _write(file: Path, text: str) -> None:
    """Whole or not at all, and not torn where several ranks write the same."""
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_name(f".{file.name}.{os.getpid()}")
    aside.write_text(text)
    aside.replace(file)
