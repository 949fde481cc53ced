"""Optuna's search: near what did well, also across a restart."""

import json
import math

from trainers.experiment import Distribution
from trainers.search.tpe import Tpe

SPACE = {
    path: Distribution.model_validate(values)
    for path, values in {
        "lr": {"loguniform": (1e-4, 1)},
        "hidden": {"choice": [[8], [16, 16]]},
        "crop": {"randint": (0, 4)},
        "drop": {"uniform": (0, 0.5)},
    }.items()
}


def score(options):
    return -abs(math.log10(options["lr"] / 0.1)) - (options["hidden"] == [8])


def go_on(search, results, trials):
    for number in range(len(results), trials):
        options = search.suggest(number, results)
        results[number] = (options, score(options))
    return results


def test_it_finds_what_is_good_and_stays_in_the_space():
    results = go_on(Tpe(SPACE, seed=0), {}, 40)
    for options, _ in results.values():
        assert 1e-4 <= options["lr"] <= 1
        assert options["hidden"] in ([8], [16, 16])
        assert options["crop"] in range(5)
        assert 0 <= options["drop"] <= 0.5
    early, late = ([known for _, known in list(results.values())[part]] for part in (slice(10), slice(30, 40)))
    assert sum(late) > sum(early)


def test_a_sweep_that_goes_on_suggests_what_it_would_have():
    whole = go_on(Tpe(SPACE, seed=3), {}, 20)
    kept = json.loads(json.dumps(dict(sorted(whole.items(), key=lambda trial: -trial[0])[5:])))  # as a record keeps it
    known = {int(number): (options, value) for number, (options, value) in kept.items()}
    assert go_on(Tpe(SPACE, seed=3), known, 20) == whole
    assert go_on(Tpe(SPACE, seed=4), {}, 3) != dict(list(whole.items())[:3])


def test_failed_and_running_trials_do_no_harm():
    search = Tpe(SPACE, seed=0)
    results = {0: (search.suggest(0, {}), -math.inf)}
    results[1] = (search.suggest(1, results), None)
    assert search.suggest(2, results) is not None
