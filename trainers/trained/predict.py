"""`predict`: images in files, folders, at URLs or on S3 to answers; numbers to answers; a GAN's samples."""

import json
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import asdict
from http.client import HTTPException
from pathlib import Path
from typing import Any

from trainers.data import IMAGE_SUFFIXES, Unreadable
from trainers.display import Display
from trainers.errors import RequestError, WorkError
from trainers.experiment import Experiment
from trainers.storage import S3, Mirror, local_folder
from trainers.summary import Summary
from trainers.tasks import Classifier, Predictor, Sampler, load_predictor
from trainers.trained.find import find_model

BATCH = 64  # images in memory at a time
URL_SECONDS = 30
URL_BYTES = 100 * 2**20
SAMPLES = 64  # of a GAN, in one picture

# What it is called, and what makes of that what a predictor takes, or raises Unreadable.
Input = tuple[str, Callable[[str], Any]]


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
    storage = local_folder(experiment.storage)  # where that is on S3, whoever only reads there may predict
    found = find_model(experiment, storage, reference)
    predictor = load_predictor(found.folder)
    summary.model.name, summary.model.version = found.name, found.version
    with summary.phase("evaluate"):
        if isinstance(predictor, Sampler):
            folder = storage / "samples" / found.slug
            _sample(predictor, paths, Mirror.of(experiment.storage, storage, folder), display)
        else:
            inputs: list[Input] = [(path.strip(), _numbers) for path in paths]
            wanted = "vectors, such as 0.5,0.2"
            if predictor.takes_images:
                inputs = [image for path in paths for image in _expand(path)]
                wanted = "images: files, folders, http(s):// or s3:// addresses"
            if not inputs:
                raise RequestError(f"predict: name the {wanted}")
            _answer(predictor, inputs, display, as_json=as_json)
    summary.status = "FINISHED"


def _answer(predictor: Predictor, inputs: Sequence[Input], display: Display, *, as_json: bool) -> None:
    width = max(len(name) for name, _ in inputs)
    unreadable = 0
    for start in range(0, len(inputs), BATCH):
        some = inputs[start : start + BATCH]
        contents = [_content(*one) for one in some]
        readable = iter(predictor.predict([one for one in contents if not isinstance(one, Unreadable)]))
        for (name, _), one in zip(some, contents, strict=True):
            answer = one if isinstance(one, Unreadable) else next(readable)
            unreadable += isinstance(answer, Unreadable)
            display.result(_as_json(name, answer, predictor) if as_json else _as_text(name, answer, width))
    if unreadable:
        raise WorkError(f"{unreadable} of {len(inputs)} inputs could not be read")


def _sample(predictor: Sampler, paths: Sequence[str], kept: Mirror, display: Display) -> None:
    """Draws samples, from the seed that is given in the place of a path."""
    from trainers.reports import draw_tiles

    if len(paths) > 1 or not all(path.isdigit() for path in paths):
        raise RequestError("predict: a GAN takes no images; give a seed (a whole number) or nothing")
    seed = int(paths[0]) if paths else 0
    picture = draw_tiles(predictor.sample(SAMPLES, seed), kept.folder / f"seed-{seed}.png", columns=8)
    kept.settle()
    display.result(f"{SAMPLES} samples  {kept.shown(picture.name)}")


def _numbers(text: str) -> list[float]:
    try:
        return [float(number) for number in text.split(",")]
    except ValueError:
        raise RequestError(f"predict: {text} is not numbers, such as 0.5,0.2") from None


def _expand(path: str) -> list[Input]:
    if path.startswith(("http://", "https://")):
        return [(path, _download)]
    if path.startswith(S3):
        from trainers.data.s3_files import images_below

        found, read = images_below(path)
        inside: list[Input] = [(address, read) for address in found]
    elif Path(path).is_dir():
        files = sorted(str(file) for file in Path(path).rglob("*") if file.suffix.lower() in IMAGE_SUFFIXES)
        inside = [(file, str) for file in files]
    elif Path(path).exists():
        return [(path, str)]
    else:
        raise RequestError(f"{path}: no such file or folder")
    if not inside:
        raise RequestError(f"{path}: no images in this folder (looked for {' '.join(sorted(IMAGE_SUFFIXES))})")
    return inside


def _content(name: str, read: Callable[[str], Any]) -> Any:
    try:
        return read(name)
    except Unreadable as reason:
        return reason


def _download(name: str) -> bytes:
    try:
        with urllib.request.urlopen(name, timeout=URL_SECONDS) as answer:
            content: bytes = answer.read(URL_BYTES + 1)
    except (OSError, ValueError, HTTPException) as error:  # of the connection, the URL, what comes back
        raise Unreadable(str(getattr(error, "reason", error))) from error
    if len(content) > URL_BYTES:
        raise Unreadable(f"larger than {URL_BYTES >> 20} MiB")
    return content


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
