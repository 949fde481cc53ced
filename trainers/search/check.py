"""What is wrong with a sweep, told before anything is started."""

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any

from trainers import config
from trainers.catalogue import TASKS
from trainers.errors import RequestError
from trainers.experiment import Distribution, Experiment
from trainers.search.draw import candidate, count, listed
from trainers.search.score import metric

WHERE = "search.space"
EXAMPLE = "{optimizer.lr: {loguniform: [1e-4, 1]}}"
COMBINATIONS = 500  # of listed values: so many are tried one by one
TOLD = 5  # of the combinations that are wrong
TRIES = 20  # draws of the other options with which a value may be valid
POPULATION = 4  # the fewest trials of which the worst quarter is one

# Options that are the same for all trials, and why.
FIXED = {
    "name": "it names the job",
    "task": "trials of different tasks cannot be compared",
    "search.": "it says how to search",
    "storage.": "all trials are kept in one place",
    "tracking.": "all trials are recorded in one place",
    "log.": "it changes nothing in the training",
    "scale.": "all trials get the same",
    "gan.": "trials judged differently cannot be compared",
    "training.best": "trials must choose their weights alike; search.metric compares them",
    "data.source": "trials on different data cannot be compared",
    "data.path": "trials on different data cannot be compared",
    "data.pattern": "trials on different data cannot be compared",
    "data.download": "it changes nothing in the training",
    "data.validation": "trials on different data cannot be compared",
    "data.test": "trials on different data cannot be compared",
    "data.unreadable": "trials on different data cannot be compared",
}
# Options that can change while a network is being trained.
CHANGING = ("optimizer.", "data.augment.", "training.label_smoothing")


def check(experiment: Experiment) -> None:
    """Finds every mistake that can be found without the data; raises RequestError: with one line per mistake."""
    space = experiment.search.space
    if not space:
        raise RequestError(f"{WHERE}: is empty; say what is to be searched, such as {EXAMPLE}")
    mistakes = [mistake for path in space for mistake in _of_option(experiment, path)]
    if not mistakes:
        mistakes = _of_combinations(experiment)
    mistakes += [*_of_metric(experiment), *_of_searcher(experiment), *_of_scheduler(experiment)]
    if mistakes:
        raise RequestError("\n".join(mistakes))


def _of_option(experiment: Experiment, path: str) -> Iterator[str]:
    distribution = experiment.search.space[path]
    for fixed, why in FIXED.items():
        if path == fixed or (fixed.endswith(".") and path.startswith(fixed)):
            yield f"{WHERE}: {path} cannot be searched: {why}"
            return
    told = set()
    for value in listed(distribution) or _numbers(distribution):
        why_not = _why_not(experiment, path, value)
        if why_not and distribution.randint is None and not listed(distribution) and _takes_integers(experiment, path):
            why_not = f"{WHERE}: {path} takes whole numbers: write {{randint: {_as_integers(distribution)}}}"
        if why_not and why_not not in told:
            told.add(why_not)
            yield why_not


def _numbers(distribution: Distribution) -> list[int | float]:
    """Both ends of a range, and some between them."""
    low, high = distribution.randint or distribution.uniform or distribution.loguniform or (0, 0)
    if distribution.randint is not None:
        return [low, (int(low) + int(high)) // 2, high]
    inside = [float(low + (high - low) * share) for share in (0.382, 0.618)]  # which are hardly ever whole
    return [float(low), *inside, float(high)]


def _takes_integers(experiment: Experiment, path: str) -> bool:
    """Whether an option that does not take some numbers of a range takes whole ones of it alone."""
    low, high = experiment.search.space[path].uniform or experiment.search.space[path].loguniform or (0, 0)
    whole = math.floor((low + high) / 2)
    return not _why_not(experiment, path, whole) and bool(_why_not(experiment, path, whole + 0.5))


def _as_integers(distribution: Distribution) -> list[int]:
    low, high = distribution.uniform or distribution.loguniform or (0, 0)
    return [math.ceil(low), math.floor(high)]


def _why_not(experiment: Experiment, path: str, value: Any) -> str:
    """What is wrong with a value, alone and with all draws of the other searched options; empty if nothing is."""
    try:
        config.change(experiment, {path: value}, WHERE)
    except RequestError as error:
        others = {other: values for other, values in experiment.search.space.items() if other != path}
        known = set(config.option_names())
        others = {other: values for other, values in others.items() if other in known}
        draws = (candidate(others, experiment.seed, number) for number in range(TRIES if path in known else 0))
        if any(_is_valid(experiment, {**draw, path: value}) for draw in draws):
            return ""
        return str(error)
    return ""


def _is_valid(experiment: Experiment, options: Mapping[str, Any]) -> bool:
    try:
        config.change(experiment, options, WHERE)
    except RequestError:
        return False
    return True


def _of_combinations(experiment: Experiment) -> list[str]:
    """Combinations of listed values that do not go together, where there is nothing but lists and not too many."""
    space = experiment.search.space
    lists = [listed(distribution) for distribution in space.values()]
    if not all(lists) or math.prod(map(len, lists)) > COMBINATIONS:
        return []
    wrong = []
    for values in itertools.product(*lists):
        options = dict(zip(space, values, strict=True))
        try:
            config.change(experiment, options, WHERE)
        except RequestError as error:
            wrong.append(f"{WHERE}: {', '.join(f'{path} {value}' for path, value in options.items())}: {error}")
    more = [f"{WHERE}: {len(wrong) - TOLD} more combinations are wrong"] if len(wrong) > TOLD else []
    return wrong[:TOLD] + more


def _of_metric(experiment: Experiment) -> Iterator[str]:
    name, known = metric(experiment)[0], TASKS[experiment.task].best
    if name not in known:
        yield f"search.metric: {name} is not for {experiment.task}, which has {', '.join(known)}"


def _of_searcher(experiment: Experiment) -> Iterator[str]:
    search = experiment.search
    if search.searcher != "random":
        for path, distribution in search.space.items():
            if distribution.grid is not None:
                yield f"{WHERE}: {path} has a grid, but {search.searcher} chooses the values itself: write choice"


def _of_scheduler(experiment: Experiment) -> Iterator[str]:
    search, epochs = experiment.search, experiment.training.epochs
    if search.scheduler != "none" and "training.epochs" in search.space:
        yield f"{WHERE}: training.epochs cannot be searched with {search.scheduler}, which compares trials by epochs"
    elif search.scheduler != "none" and search.grace > epochs:
        yield f"search.grace: {search.grace} epochs are more than training.epochs {epochs}"
    if search.scheduler == "pbt":
        yield from _of_population(experiment)


def _of_population(experiment: Experiment) -> Iterator[str]:
    search = experiment.search
    for path in search.space:
        if not path.startswith(CHANGING) or path == "optimizer.name":
            yield f"{WHERE}: {path} cannot change during a training, as pbt wants it; {', '.join(CHANGING)} can"
    if experiment.schedule.name != "constant":
        yield f"schedule.name: {experiment.schedule.name} moves the rate, and so does pbt: set constant"
    if experiment.task == "adversarial":
        yield "search.scheduler: pbt cannot change the two optimisers of a GAN; use asha"
    if count(search) < POPULATION:
        yield f"search.trials: {count(search)} are too few for pbt, which needs {POPULATION}"
    if search.searcher != "random":
        yield f"search.searcher: {search.searcher} does not go with pbt, which changes the values itself: set random"
    if search.concurrent is not None:
        yield "search.concurrent: pbt runs all trials by turns on what there is: leave it unset"
    if (experiment.scale.workers or 1) > 1:
        yield "scale.workers: pbt has one worker per trial: leave it unset"
