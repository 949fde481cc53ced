"""`predict`: images in files, folders or at URLs to answers; numbers to answers; a GAN's samples."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from trainers.data import IMAGE_SUFFIXES, Unreadable
from trainers.display import Display
from trainers.errors import RequestError, WorkError
from trainers.experiment import Experiment
from trainers.summary import Summary
from trainers.tasks import Classifier, Predictor, Sampler, load_predictor
from trainers.verbs.models import find_model
from trainers.verbs.plan import storage_folder

BATCH = 64  # images in memory at a time
URL_SECONDS = 30
URL_BYTES = 100 * 2**20
SAMPLES = 64  # of a GAN, in one picture


def predict(
    experiment: Experiment,
    display: Display,
    summary: Summary,
    *,
    paths: Sequence[str],
    reference: str | None,
    as_json: bool,
) -> None:
    """Does the verb: one line per input, in order; one that cannot be read is named with its cause.

    Raises:
        RequestError: no image was named, or there is no model.
        WorkError: some inputs could not be read; the others were answered.
    """
    storage = storage_folder(experiment)
    found = find_model(experiment, storage, reference)
    predictor = load_predictor(found.folder)
    summary.model.name, summary.model.version = found.name, found.version
    with summary.phase("evaluate"):
        if isinstance(predictor, Sampler):
            _sample(predictor, paths, storage / "samples" / found.slug, display)
        else:
            names = [path.strip() for path in paths]
            if predictor.takes_images:
                names = [image for path in paths for image in _expand(path)]
            if not names:
                wanted = "images: files, folders or URLs" if predictor.takes_images else "vectors, such as 0.5,0.2"
                raise RequestError(f"predict: name the {wanted}")
            _answer(predictor, names, display, as_json=as_json)
    summary.status = "FINISHED"


def _answer(predictor: Predictor, names: Sequence[str], display: Display, *, as_json: bool) -> None:
    width = max(map(len, names))
    unreadable = 0
    for start in range(0, len(names), BATCH):
        some = names[start : start + BATCH]
        inputs = [_fetch(name) if predictor.takes_images else _numbers(name) for name in some]
        readable = iter(predictor.predict([one for one in inputs if not isinstance(one, Unreadable)]))
        for name, one in zip(some, inputs, strict=True):
            answer = one if isinstance(one, Unreadable) else next(readable)
            unreadable += isinstance(answer, Unreadable)
            display.result(_as_json(name, answer, predictor) if as_json else _as_text(name, answer, width))
    if unreadable:
        raise WorkError(f"{unreadable} of {len(names)} inputs could not be read")


def _sample(predictor: Sampler, paths: Sequence[str], folder: Path, display: Display) -> None:
    """Draws samples, from the seed that is given in the place of a path."""
    from trainers.reports import draw_tiles

    if len(paths) > 1 or not all(path.isdigit() for path in paths):
        raise RequestError("predict: a GAN takes no images; give a seed (a whole number) or nothing")
    seed = int(paths[0]) if paths else 0
    picture = draw_tiles(predictor.sample(SAMPLES, seed), folder / f"seed-{seed}.png", columns=8)
    display.result(f"{SAMPLES} samples  {picture}")


def _numbers(text: str) -> list[float]:
    try:
        return [float(number) for number in text.split(",")]
    except ValueError:
        raise RequestError(f"predict: {text} is not numbers, such as 0.5,0.2") from None


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


def _fetch(name: str) -> str | bytes | Unreadable:
    if not name.startswith(("http://", "https://")):
        return name
    try:
        with urllib.request.urlopen(name, timeout=URL_SECONDS) as answer:
            content: bytes = answer.read(URL_BYTES + 1)
    except (urllib.error.URLError, OSError, ValueError) as error:
        return Unreadable(str(getattr(error, "reason", error)))
    return content if len(content) <= URL_BYTES else Unreadable(f"larger than {URL_BYTES >> 20} MiB")


def _as_text(name: str, answer: Any, width: int) -> str:
    if isinstance(answer, Unreadable):
        return f"{name:<{width}}  unreadable: {answer}"
    return f"{name:<{width}}  {answer}"


def _as_json(name: str, answer: Any, predictor: Predictor) -> str:
    key = "image" if predictor.takes_images else "input"
    if isinstance(answer, Unreadable):
        return json.dumps({key: name, "error": str(answer)})
    columns: dict[str, Any] = asdict(answer)
    if isinstance(predictor, Classifier):
        columns["probabilities"] = dict(zip(predictor.classes, columns["probabilities"], strict=True))
    return json.dumps({key: name, **columns})
