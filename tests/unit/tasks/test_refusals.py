"""What a task has no use for is refused, by the option's path, with what to do, and never ignored."""

import pytest
from pydantic import ValidationError
from toys import PROBLEMS, experiment_of

REFUSED = [
    ("images", {"training": {"loss": "nll"}}, "training.loss: nll wants log-probabilities: set model.output"),
    ("images", {"model": {"output": "log-softmax"}}, "model.output: log-softmax goes with training.loss nll"),
    ("images", {"training": {"loss": "mse"}}, "training.loss: mse is not for classification, which has cross-entropy"),
    ("images", {"training": {"best": "mse"}}, "training.best: mse is not for classification, which has accuracy, loss"),
    ("images", {"data": {"source": "curve"}}, "data.source: curve"),
    ("regression", {"training": {"loss": "cross-entropy"}}, "training.loss: cross-entropy is not for regression"),
    ("regression", {"training": {"loss": "bce"}}, "training.loss: bce is not for regression"),
    ("regression", {"training": {"best": "accuracy"}}, "training.best: accuracy is not for regression"),
    ("regression", {"training": {"label_smoothing": 0.1}}, "training.label_smoothing: there are no labels"),
    ("regression", {"data": {"augment": {"mixup": 0.4}}}, "data.augment.mixup: MixUp and CutMix blend classes"),
    ("regression", {"data": {"source": "spiral"}}, "data.source: spiral"),
    ("regression", {"model": {"output": "log-softmax"}}, "model.output: log-softmax"),
    ("autoencoding", {"data": {"normalise": "imagenet"}}, "data.normalise: autoencoding needs unit"),
    ("autoencoding", {"data": {"augment": {"cutmix": 1.0}}}, "data.augment.mixup: MixUp and CutMix blend classes"),
    ("autoencoding", {"data": {"source": "spiral"}}, "data.source: spiral"),
    ("autoencoding", {"training": {"loss": "least-squares"}}, "training.loss: least-squares is not for autoencoding"),
    ("adversarial", {"data": {"normalise": "unit"}}, "data.normalise: adversarial needs symmetric"),
    ("adversarial", {"training": {"best": "loss"}}, "training.best: loss is not for adversarial, which has frechet"),
    ("adversarial", {"data": {"augment": {"mixup": 0.4}}}, "data.augment.mixup: MixUp and CutMix blend classes"),
    ("adversarial", {"training": {"loss": "nll"}}, "training.loss: nll is not for adversarial"),
]


@pytest.mark.parametrize(("problem", "options", "told"), REFUSED)
def test_what_does_not_go_together_is_refused_with_what_to_do(problem, options, told):
    with pytest.raises(ValidationError) as refused:
        experiment_of(problem, **options)
    assert [str(error["ctx"]["error"]).startswith(told) for error in refused.value.errors()] == [True]


@pytest.mark.parametrize(
    ("problem", "loss", "score"),
    [
        ("images", "cross-entropy", "accuracy"),
        ("regression", "mse", "mse"),
        ("autoencoding", "mse", "mse"),
        ("adversarial", "bce", "frechet"),
    ],
)
def test_each_task_has_its_own_loss_and_metric_unless_told_otherwise(problem, loss, score):
    experiment = experiment_of(problem)
    assert (experiment.loss, experiment.score) == (loss, score)


@pytest.mark.parametrize(
    ("problem", "loss"),
    [("regression", "huber"), ("autoencoding", "bce"), ("adversarial", "least-squares"), ("images", "cross-entropy")],
)
def test_each_task_has_other_losses(problem, loss):
    assert experiment_of(problem, training={"loss": loss}).loss == loss


def test_the_problems_of_these_tests_are_of_every_task():
    from trainers.catalogue import TASKS

    assert {experiment_of(problem).task for problem in PROBLEMS} == set(TASKS)
