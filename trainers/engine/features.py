"""What the frozen layers of a network make of a pack: computed once, for all runs that train only the rest.

    storage/features/KEY/      a pack of vectors, float32 [N, D], with the files that packs have

KEY is a hash of the pack, of how its images become inputs, of the frozen layers and their weights, and of the precision
in which they run. So features never serve a network whose frozen layers are others.
"""

import hashlib
import logging
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from trainers.data import Arrays, Bulk, Pack, Progress
from trainers.data.disk import locked, replacing, require_space, writing
from trainers.data.pack import load_pack
from trainers.data.pack_key import short_hash
from trainers.data.packing import write_pack
from trainers.engine.extraction import extract, why_not
from trainers.engine.precision import choose_dtype
from trainers.errors import WorkError
from trainers.experiment import Experiment
from trainers.models import Built, FeatureExtractor, build, cut, resolve_weights
from trainers.tasks import outputs_of

log = logging.getLogger("trainers")

FORMAT = 1  # part of the key: raise it when the same layers would give other numbers


def compute_features(
    experiment: Experiment, pack: Pack, storage: Path, device: torch.device, progress: Progress | None = None
) -> Path | None:
    """Folder of the features of a pack below `storage`, computed first if they are not there or damaged.

    None where the options or the network leave none: see `why_not` and `trainers.models.cut`. Safe to call from
    several processes at once: one computes, the others wait for it. The global random numbers stay as they are.

    Raises RequestError: the network cannot be built as asked for, or the disk is too small.
    """
    if why_not(experiment) is not None:
        return None
    # As a run begins. It draws from the CPU's generator alone.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(experiment.seed)
        weights = resolve_weights(experiment.model, storage)
        built = build(experiment.model, pack.shape, outputs_of(pack), weights, task=experiment.task)
    parts = cut(built, pack.shape)
    if parts is None:
        return None
    folder = storage / "features" / _key(experiment, pack, parts[0], device)
    if load_pack(folder) is None:
        with locked(folder.with_suffix(".lock")), writing(folder):
            if load_pack(folder) is None:  # another process may have computed them meanwhile
                _write(folder, experiment, pack, extract(experiment, pack, parts[0], device, progress))
    return folder


def features_here(folder: Path, experiment: Experiment, pack: Pack, storage: Path, device: torch.device) -> Path:
    """The folder with features that the driver has computed, if this machine has it; else that of its own, computed.

    They are the same but for rounding.

    Raises RequestError: as `compute_features`.
    """
    if load_pack(folder) is not None:
        return folder
    return compute_features(experiment, pack, storage, device) or folder


def open_features(folder: Path) -> NDArray[np.float32]:
    """The features in a folder, [N, D], mapped from disk, read-only, in the order of the pack's samples.

    Raises WorkError: they are not there, or damaged.
    """
    pack = load_pack(folder)
    if pack is None:
        raise WorkError(f"the features in {folder} are missing or damaged; start again, which computes them anew")
    return cast("NDArray[np.float32]", pack.inputs)


def on_features(built: Built, pack: Pack, folder: Path) -> tuple[Built, Pack]:
    """The network from its features on, and the pack with features as its inputs.

    The network given back has all of the given one's parameters and buffers, under their names: it differs in what it
    takes alone. Which weights the frozen layers have does not matter here: a rank may get them later.

    Raises WorkError: the features are not there or damaged, or they are not of such layers or of this pack.
    """
    features, parts = open_features(folder), cut(built, pack.shape)
    if parts is None or features.shape != (len(pack.inputs), math.prod(parts[1].shape)):
        raise WorkError(f"the features in {folder} are not what these frozen layers make of these samples")
    return replace(built, module=parts[1]), replace(pack, inputs=features)


def _key(experiment: Experiment, pack: Pack, extractor: FeatureExtractor, device: torch.device) -> str:
    """Hash of all that features depend on. The layers' tensors are hashed themselves, wherever they come from."""
    digest = hashlib.sha256()
    for name, tensor in extractor.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.cpu().reshape(-1).view(torch.uint8).numpy())
    dtype = choose_dtype(experiment.training.precision, device)
    layers = [experiment.model.name, str(extractor.layers), digest.hexdigest(), str(dtype)]
    return short_hash([FORMAT, pack.key, pack.fingerprint, experiment.data.normalise, *layers])


def _write(folder: Path, experiment: Experiment, pack: Pack, parts: Iterator[NDArray[np.float32]]) -> None:
    """Writes features as a pack of vectors: aside, checksummed, renamed last. Under the lock."""
    if folder.exists():
        log.warning("the features in %s are damaged and are computed again", folder)
    with replacing(folder) as aside:
        raw = aside / "rows.bin"

        def load() -> Arrays:
            with raw.open("wb") as file:
                for rows in parts:
                    if not file.tell():
                        require_space(aside, 2 * len(pack.inputs) * rows[0].nbytes)  # these rows, and then the pack
                    file.write(np.ascontiguousarray(rows).data)
            inputs = np.memmap(raw, np.float32, mode="r").reshape(len(pack.inputs), -1)
            return Arrays(pack.names, inputs, pack.labels, pack.given)

        write_pack(aside, experiment.data, Bulk(pack.classes or ("",), pack.key, load, str(folder)), None)
        raw.unlink()
