"""The champion: the version of a registered model that is best on the held-out test split."""

import logging
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainers.errors import TrainersError, WorkError
from trainers.tracking.client import connect, one_line, shown
from trainers.tracking.registry import CHAMPION, FINGERPRINT, SCORE, Version, fetch

if TYPE_CHECKING:
    from mlflow import MlflowClient

log = logging.getLogger("trainers")

_TRIES = 5


@dataclass(frozen=True)
class Score:
    """What a version is worth on the test split: a metric, and whether more of it is better."""

    metric: str
    value: float
    higher_is_better: bool = True

    def beats(self, value: float) -> bool:
        """Whether it is strictly better than another value of the same metric."""
        return self.value > value if self.higher_is_better else self.value < value


@dataclass(frozen=True)
class Decision:
    """Whether a version became champion (its truth value), and why or why not."""

    promoted: bool
    reason: str

    def __bool__(self) -> bool:
        return self.promoted


def promote(
    uri: str, version: Version, score: Score, test_fingerprint: str, measure: Callable[[Path], float]
) -> Decision:
    """Makes a version champion if it is the first, or strictly better than the champion on the same test split.

    A champion that was tested on another split is fetched and measured on ours. One that cannot be measured stays.
    The decision is kept as the version's tag `champion_decision`.

    Args:
        uri: tracking URI.
        version: the candidate.
        score: of the candidate on the test split.
        test_fingerprint: which split that is.
        measure: the same metric on our test split of the bundle in a folder; raises a TrainersError if it has none.

    Raises:
        RequestError: MLflow is away or refuses us.
        WorkError: it went away in between, or the alias was changed by others again and again.
    """
    client = connect(uri)
    from mlflow.exceptions import MlflowException

    try:
        for key, value in {SCORE.format(score.metric): repr(score.value), FINGERPRINT: test_fingerprint}.items():
            client.set_model_version_tag(version.name, version.version, key, value)
        decision = _decide(client, uri, version, score, test_fingerprint, measure)
        client.set_model_version_tag(version.name, version.version, "champion_decision", decision.reason[:1000])
    except MlflowException as error:
        raise WorkError(f"registry: no champion could be chosen at {shown(uri)} ({one_line(error)})") from error
    log.debug("champion: %s", decision.reason)
    return decision


def _decide(
    client: "MlflowClient",
    uri: str,
    version: Version,
    score: Score,
    test_fingerprint: str,
    measure: Callable[[Path], float],
) -> Decision:
    for _ in range(_TRIES):
        present = _champion(client, version.name)
        number = None if present is None else str(present.version)
        if number == version.version:
            return Decision(True, f"{version} is the champion already")
        if present is None:
            decision = Decision(True, f"{version} is the first")
        else:
            decision = _compare(uri, version, present, score, test_fingerprint, measure)
        # Measuring takes a while, in which another run may have chosen its own: look again right before setting.
        again = _champion(client, version.name)
        if number != (None if again is None else str(again.version)):
            continue
        if decision:
            client.set_registered_model_alias(version.name, CHAMPION, version.version)
        return decision
    raise WorkError(f"registry: the champion of `{version.name}` at {shown(uri)} keeps changing; try again")


def _compare(
    uri: str, version: Version, present: Any, score: Score, test_fingerprint: str, measure: Callable[[Path], float]
) -> Decision:
    old = Version(version.name, str(present.version))
    how = "on the same test split"
    tag = SCORE.format(score.metric)
    if present.tags.get(FINGERPRINT) == test_fingerprint and tag in present.tags:
        old_value = float(present.tags[tag])
    else:
        try:
            with tempfile.TemporaryDirectory() as scratch:
                old_value = measure(fetch(uri, old, Path(scratch)))
        except TrainersError as error:
            return Decision(False, f"{old} stays: it cannot be measured on this test split ({error})")
        how = "measured on the new test split"
    verdict = f"{score.metric} {score.value:.4g} against {old_value:.4g} of {old}, {how}"
    return (
        Decision(True, f"{version} is better: {verdict}")
        if score.beats(old_value)
        else Decision(False, f"{old} stays: {verdict}")
    )


def _champion(client: "MlflowClient", name: str) -> Any | None:
    """The version that has the alias; None if no version has it."""
    number = client.get_registered_model(name).aliases.get(CHAMPION)
    return None if number is None else client.get_model_version(name, str(number))
