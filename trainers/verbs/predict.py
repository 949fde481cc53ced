"""`predict`: images in files, folders or at URLs to classes."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

from trainers.data import IMAGE_SUFFIXES, Unreadable
from trainers.display import Display
from trainers.errors import RequestError, WorkError
from trainers.experiment import Experiment
from trainers.summary import Summary
from trainers.tasks import Prediction, Predictor
from trainers.verbs.models import find_model
from trainers.verbs.plan import storage_folder

BATCH = 64  # images in memory at a time
URL_SECONDS = 30
URL_BYTES = 100 * 2**20


def predict(
    experiment: Experiment,
    display: Display,
    summary: Summary,
    *,
    paths: Sequence[str],
    reference: str | None,
    as_json: bool,
) -> None:
    """Does the verb: one line per image, in order; one that cannot be read is named with its cause.

    Raises:
        RequestError: no image was named, or there is no model.
        WorkError: some images could not be read; the others were classified.
    """
    if not paths:
        raise RequestError("predict: name the images: files, folders or URLs")
    images = [image for path in paths for image in _expand(path)]
    found = find_model(experiment, storage_folder(experiment), reference)
    predictor = Predictor.load(found.folder)
    summary.model.name, summary.model.version = found.name, found.version
    width = max(map(len, images))
    unreadable = 0
    with summary.phase("evaluate"):
        for start in range(0, len(images), BATCH):
            names = images[start : start + BATCH]
            for name, answer in zip(names, _classify(predictor, names), strict=True):
                unreadable += isinstance(answer, Unreadable)
                display.result(_as_json(name, answer, predictor.classes) if as_json else _as_text(name, answer, width))
    if unreadable:
        raise WorkError(f"{unreadable} of {len(images)} images could not be read")
    summary.status = "FINISHED"


def _expand(path: str) -> Iterator[str]:
    if path.startswith(("http://", "https://")):
        yield path
    elif Path(path).is_dir():
        inside = sorted(str(file) for file in Path(path).rglob("*") if file.suffix.lower() in IMAGE_SUFFIXES)
        if not inside:
            raise RequestError(f"{path}: no images in this folder (looked for {' '.join(sorted(IMAGE_SUFFIXES))})")
        yield from inside
    elif Path(path).exists():
        yield path
    else:
        raise RequestError(f"{path}: no such file or folder")


def _classify(predictor: Predictor, names: Sequence[str]) -> list[Prediction | Unreadable]:
    fetched = [_fetch(name) if name.startswith(("http://", "https://")) else name for name in names]
    readable = iter(predictor.predict([image for image in fetched if not isinstance(image, Unreadable)]))
    return [image if isinstance(image, Unreadable) else next(readable) for image in fetched]


def _fetch(url: str) -> bytes | Unreadable:
    try:
        with urllib.request.urlopen(url, timeout=URL_SECONDS) as answer:
            content: bytes = answer.read(URL_BYTES + 1)
    except (urllib.error.URLError, OSError, ValueError) as error:
        return Unreadable(str(getattr(error, "reason", error)))
    return content if len(content) <= URL_BYTES else Unreadable(f"larger than {URL_BYTES >> 20} MiB")


def _as_text(name: str, answer: Prediction | Unreadable, width: int) -> str:
    if isinstance(answer, Unreadable):
        return f"{name:<{width}}  unreadable: {answer}"
    return f"{name:<{width}}  {answer.label}  {answer.probability:.3f}"


def _as_json(name: str, answer: Prediction | Unreadable, classes: Sequence[str]) -> str:
    if isinstance(answer, Unreadable):
        return json.dumps({"image": name, "error": str(answer)})
    probabilities = dict(zip(classes, answer.probabilities, strict=True))
    return json.dumps(
        {"image": name, "label": answer.label, "probability": answer.probability, "probabilities": probabilities}
    )
