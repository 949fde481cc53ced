"""What is sent to a remote cluster: a job's code and its experiment, in a zip file; never data."""

import hashlib
import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trainers.errors import RequestError

LIMIT = 10_000_000  # bytes, before they are compressed; code is a hundredth of that


@dataclass(frozen=True)
class Package:
    """A zip file that becomes the job's working folder.

    Attributes:
        name: of the zip file, by its content.
        content: the zip file; the same files make the same bytes.
        about: which files, and how much, in a few words.
    """

    name: str
    content: bytes
    about: str


def pack(job: Path, config: Path) -> Package:
    """Packs a job, jobs/NAME.py, and its experiment, which becomes jobs/NAME.yaml whatever it is called here.

    With them go the Python modules beside the job that it may import: the other *.py of its folder, and those of
    packages in it. Symbolic links, hidden files and all other files stay here.

    Raises RequestError: a file cannot be read, or they are too big to be code.
    """
    code, experiment = f"jobs/{job.name}", f"jobs/{job.stem}.yaml"
    files = {f"jobs/{path.relative_to(job.parent).as_posix()}": path for path in _modules(job.parent)}
    files |= {code: job, experiment: config}
    try:
        sizes = {name: path.stat().st_size for name, path in files.items()}
        total, biggest = sum(sizes.values()), max(sizes, key=sizes.__getitem__)
        if total > LIMIT:
            raise RequestError(
                f"--on: the code beside {job.name} is {total / 1e6:.1f} MB ({files[biggest]} alone "
                f"{sizes[biggest] / 1e6:.1f} MB), more than the {LIMIT / 1e6:.0f} MB that are sent; move it elsewhere"
            )
        content = _zip({name: files[name].read_bytes() for name in sorted(files)})
    except OSError as error:
        raise RequestError(f"--on: {error.filename} cannot be read: {error.strerror}") from None
    others = len(files) - 2
    more = f" and {others} module{'s' if others > 1 else ''} beside them" if others else ""
    name = f"_ray_pkg_{hashlib.sha256(content).hexdigest()[:16]}.zip"
    return Package(name, content, f"{code}, {experiment}{more} ({total / 1e3:.1f} kB)")


def _modules(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.is_symlink() or path.name.startswith("."):
            continue
        if path.suffix == ".py" and path.is_file():
            yield path
        elif (path / "__init__.py").is_file():
            yield from _modules(path)


def _zip(files: dict[str, bytes]) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name)  # dated 1980, so that the time makes no other package
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            target.writestr(entry, content)
    return archive.getvalue()
