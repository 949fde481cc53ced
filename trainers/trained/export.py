"""`export`: a trained model as two things that other programs can load, each loaded back and checked."""

from pathlib import Path

from trainers.display import Display
from trainers.errors import RequestError
from trainers.experiment import Experiment
from trainers.storage import Mirror, check_storage
from trainers.summary import Summary
from trainers.tasks.program import export_program
from trainers.trained.find import find_model


def export(
    experiment: Experiment, display: Display, summary: Summary, *, reference: str | None, to: Path | None
) -> None:
    """Does the verb: weights (safetensors, with model.json) and the whole program (torch.export) in one folder.

    Raises:
        RequestError: there is no such model, or the folder is there already.
        WorkError: what was saved gives other outputs than the model.
    """
    storage = check_storage(experiment.storage)
    found = find_model(experiment, storage, reference)
    folder = to or storage / "exports" / found.slug
    if folder.exists():
        raise RequestError(f"--to: {folder} is there already; name a new folder")
    with summary.phase("evaluate"):
        difference = export_program(found.folder, folder)
        kept = Mirror.of(experiment.storage, storage, folder)
        kept.settle()
    summary.model.name, summary.model.version = found.name, found.version
    summary.status = "FINISHED"
    display.result(f"weights     {kept.shown('weights.safetensors')}, described by model.json")
    display.result(f"program     {kept.shown('program.pt2')}, for torch.export.load; takes normalised inputs")
    display.result(f"checked     loaded back, both give the outputs of {found.reference} to {difference:.0e}")
