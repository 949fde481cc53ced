"""`find-lr`: the learning-rate range test, its picture, table and suggestion."""

import csv

from trainers.display import Display, aligned
from trainers.engine import Job, LrCurve, RangeTest
from trainers.errors import RequestError
from trainers.events import Progress, RangeTested
from trainers.experiment import Experiment
from trainers.origin import command
from trainers.reports import draw_lr_curve
from trainers.runs import plan
from trainers.runs.folder import new_name
from trainers.runs.launch import interruptible, launch, ray
from trainers.storage import Mirror, check_storage
from trainers.summary import Summary

ROWS = 12  # of the printed table


def find_lr(experiment: Experiment, display: Display, summary: Summary, *, low: float, high: float, steps: int) -> None:
    """Does the verb; nothing is registered, and the weights of the test are thrown away.

    Args:
        low, high: the first and the last rate.
        steps: how many rates, in equal ratios.

    Raises:
        RequestError: something that `train` would stumble over, or a task with more than one optimiser.
        WorkError: a worker failed.
    """
    if experiment.task == "adversarial":
        raise RequestError("find-lr: is for tasks with one optimiser; a GAN has two, which depend on one another")
    if not 0 < low < high or steps < 10:
        raise RequestError(
            f"find-lr: --low {low:g}, --high {high:g}, --steps {steps}: 0 < low < high, 10 steps or more"
        )
    with summary.phase("plan"):
        storage = check_storage(experiment.storage)
        plan.check_path(experiment)
    with interruptible(), ray(experiment) as runtime:
        with summary.phase("pack"):
            data = plan.prepare_data(experiment, storage, display)
        plan.describe_data(experiment, data, display)
        with summary.phase("plan"):
            size = plan.check_model(experiment, data.pack, storage)
            resources = plan.resources_of(experiment, runtime)
        plan.describe_model(experiment, size, resources, display)
        folder = storage / "find-lr" / new_name(experiment)
        job = Job(experiment, folder, storage, data.pack.key, range_test=RangeTest(low, high, steps))
        with summary.phase("train"):
            for event in launch(job, resources, runtime):
                if isinstance(event, Progress):
                    display.step(event, 1)
                elif isinstance(event, RangeTested):
                    result = event
    display.close()
    _show(LrCurve(result.rates, result.losses), job.mirror, display)
    summary.status = "FINISHED"


def _show(curve: LrCurve, kept: Mirror, display: Display) -> None:
    rates, losses, smoothed, folder = curve.rates, curve.losses, curve.smoothed, kept.folder
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "rates.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("lr", "loss", "smoothed"), *zip(rates, losses, smoothed, strict=True)])
    places = range(0, len(rates), max(1, len(rates) // ROWS))
    numbers = [(f"{rates[place]:.2e}", f"{losses[place]:.4f}", f"{smoothed[place]:.4f}") for place in places]
    for line in aligned([("lr", "loss", "smoothed"), *numbers], right=True):
        display.say(f"  {line}")
    suggestion = curve.suggestion
    if len(rates) > 1:
        draw_lr_curve(rates, losses, smoothed, suggestion, folder / "rates.png")
        display.result(f"picture     {kept.shown('rates.png')}")
    kept.settle()
    if suggestion is None:
        display.result(
            "suggestion  none: the loss does not fall anywhere; look at the picture, or try other --low, --high"
        )
    else:
        display.result(f"suggestion  {suggestion:.1e}, where the loss falls most steeply")
        display.result(f"train       {command('train', '--optimizer.lr', f'{suggestion:.1e}')}")
