"""What is wrong with a sweep is told before anything is started, a line for each mistake."""

import math

import pytest

from trainers.errors import RequestError
from trainers.experiment import Distribution, Experiment
from trainers.search import best_row, check, metric, score_of

RATES = {"optimizer.lr": {"loguniform": [1e-4, 1]}}
REGRESSION = {"task": "regression", "data": {"source": "curve"}, "model": {"name": "mlp"}}


def make(space=RATES, sections=None, **search):
    return Experiment.model_validate({"search": {"space": space, **search}, **(sections or {})})


def mistakes(*args, **options):
    with pytest.raises(RequestError) as error:
        check(make(*args, **options))
    return str(error.value).splitlines()


@pytest.mark.parametrize(
    ("space", "search"),
    [
        (RATES, {}),
        ({**RATES, "training.batch_size": {"randint": [8, 64]}}, {"searcher": "optuna"}),
        ({**RATES, "model.hidden": {"choice": [[8], [16]]}}, {"searcher": "decades", "scheduler": "median"}),
        ({"seed": {"grid": [0, 1, 2]}}, {"scheduler": "none", "metric": "loss"}),
        ({**RATES, "data.augment.flip": {"uniform": [0, 0.5]}}, {"scheduler": "pbt"}),
        # One alone would be more than the rate that the experiment has.
        ({**RATES, "optimizer.lr_low": {"loguniform": [1e-5, 1e-1]}}, {}),
    ],
)
def test_what_is_right_passes(space, search):
    check(make(space, **search))


def test_an_empty_space_is_refused_with_an_example():
    (line,) = mistakes({})
    assert line.startswith("search.space: is empty")
    assert "{optimizer.lr: {loguniform: [1e-4, 1]}}" in line


def test_an_unknown_option_is_told_with_the_nearest_known_one():
    assert mistakes({"optimiser.lr": {"choice": [1]}}) == [
        "optimiser.lr: no such option (search.space); did you mean optimizer.lr?"
    ]


@pytest.mark.parametrize(
    ("path", "values", "expected"),
    [
        ("optimizer.lr", {"choice": [0.1, -1]}, "optimizer.lr: input should be greater than 0, not -1 (search.space)"),
        ("model.dropout", {"uniform": [0, 1]}, "model.dropout: input should be less than 1, not 1.0 (search.space)"),
        ("data.augment.crop", {"randint": [60, 70]}, "input should be less than or equal to 64, not 65"),
        ("training.batch_size", {"loguniform": [8, 128]}, "takes whole numbers: write {randint: [8, 128]}"),
        ("training.epochs", {"uniform": [1, 9]}, "takes whole numbers: write {randint: [1, 9]}"),
        ("schedule.name", {"choice": ["cosine", "sine"]}, "not 'sine'"),
        ("model.hidden", {"choice": [[8], [0]]}, "model.hidden.0: input should be greater than or equal to 1"),
    ],
)
def test_a_value_that_is_not_allowed_is_named(path, values, expected):
    assert any(expected in line for line in mistakes({path: values}, scheduler="none"))


@pytest.mark.parametrize("path", ["name", "task", "search.trials", "storage.path", "scale.workers", "data.path"])
def test_what_must_be_the_same_for_all_trials_is_refused(path):
    (line,) = mistakes({path: {"choice": [1]}})
    assert line.startswith(f"search.space: {path} cannot be searched: ")


def test_combinations_of_lists_that_do_not_go_together_are_named():
    lines = mistakes({"optimizer.name": {"grid": ["sgd", "adam"]}, "optimizer.nesterov": {"choice": [True, False]}})
    assert lines == [
        "search.space: optimizer.name adam, optimizer.nesterov True: "
        "optimizer.nesterov: needs optimizer.name sgd and optimizer.momentum > 0"
    ]


def test_of_many_wrong_combinations_a_few_are_named():
    optimizers, sizes = ["adam", "adamw"], [8, 16, 32, 64]
    space = {"optimizer.name": {"grid": [*optimizers, "sgd"]}, "training.batch_size": {"grid": sizes}}
    lines = mistakes({**space, "optimizer.nesterov": {"grid": [True, False]}})
    assert len(lines) == 6
    assert lines[-1] == "search.space: 3 more combinations are wrong"


def test_a_metric_of_another_task_is_refused():
    (line,) = mistakes(sections=REGRESSION, metric="accuracy")
    assert line == "search.metric: accuracy is not for regression, which has mse, loss"


@pytest.mark.parametrize("searcher", ["optuna", "decades"])
def test_a_grid_is_refused_where_it_would_not_be_gone_through(searcher):
    (line,) = mistakes({"optimizer.lr": {"grid": [0.1, 1]}}, searcher=searcher)
    assert line == f"search.space: optimizer.lr has a grid, but {searcher} chooses the values itself: write choice"


def test_trials_that_could_never_be_stopped_are_refused():
    assert mistakes(grace=6) == ["search.grace: 6 epochs are more than training.epochs 5"]
    (line,) = mistakes({"training.epochs": {"choice": [3, 9]}})
    assert "training.epochs cannot be searched with asha" in line


def test_pbt_is_refused_where_it_cannot_work():
    space = {"optimizer.name": {"choice": ["sgd", "adam"]}, "model.dropout": {"uniform": [0, 0.5]}}
    sections = {"schedule": {"name": "cosine"}, "scale": {"workers": 2}}
    options = {"scheduler": "pbt", "searcher": "optuna", "trials": 3, "concurrent": 2}
    begins = [line.partition(":")[0] for line in mistakes(space, sections, **options)]
    assert begins == ["search.space", "search.space", "schedule.name", "search.trials", "search.searcher",
                      "search.concurrent", "scale.workers"]  # fmt: skip


def test_every_mistake_has_a_line():
    assert len(mistakes({"optimiser.lr": {"choice": [1]}, "name": {"choice": ["x"]}}, metric="x", grace=9)) == 4


@pytest.mark.parametrize(
    ("sections", "search", "expected"),
    [
        ({}, {}, ("accuracy", True)),
        ({}, {"metric": "loss"}, ("loss", False)),
        ({"training": {"best": "loss"}}, {}, ("loss", False)),
        ({}, {"metric": "loss", "mode": "max"}, ("loss", True)),
        (REGRESSION, {}, ("mse", False)),
    ],
)
def test_trials_are_compared_by_the_searched_metric(sections, search, expected):
    assert metric(make(sections=sections, **search)) == expected


def test_more_of_a_score_is_always_better():
    row = {"validation/accuracy": 0.9, "validation/loss": 0.3}
    assert score_of(make(), row) == 0.9
    assert score_of(make(metric="loss"), row) == -0.3
    assert math.isnan(score_of(make(), {"validation/accuracy": math.nan}))


def test_a_trial_is_worth_what_its_best_epoch_is():
    rows = [{"epoch": 1, "best": 1.0}, {"epoch": 2, "best": 1.0}, {"epoch": 3, "best": 0.0}]
    assert best_row(rows) == rows[1]
    assert best_row([]) is None


def test_numbers_that_yaml_takes_for_texts_are_numbers():
    assert Distribution(choice=["1e-4", 0, "1E+2", "mlp", "e3"]).choice == [1e-4, 0, 100.0, "mlp", "e3"]
