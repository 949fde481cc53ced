"""What frozen layers make of a pack: the same for every run, computed once, and as good to train on as the images."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from toys import experiment_of, make_curve, make_pack, same

from trainers.data.normalise import Normalise
from trainers.data.samples import Samples
from trainers.data.training_batches import TrainingBatches
from trainers.engine.extraction import why_not
from trainers.engine.features import compute_features, features_here, on_features, open_features
from trainers.engine.optim import make_optimizer
from trainers.errors import WorkError
from trainers.experiment import Augment
from trainers.models import FeatureExtractor, build, parameter_groups, train_mode
from trainers.tasks import make_task, outputs_of

CPU = torch.device("cpu")
HEAD = {"model": {"name": "cnn", "train": "head", "dropout": 0.0}}
CURVE = {"model": {"hidden": [16, 8], "freeze": ["linear1"]}}


def built_for(experiment, pack):
    torch.manual_seed(experiment.seed)
    return build(experiment.model, pack.shape, outputs_of(pack), task=experiment.task)


def samples_of(pack):
    return Samples(pack, CPU, Normalise.of("imagenet", 3))


def outputs(module, pack):
    """What a network makes of a whole pack."""
    samples = samples_of(pack)
    with torch.inference_mode():
        return module.eval()(samples.normalise(samples.inputs))


def train(experiment, built, pack, epochs=2):
    """A loop like the engine's, and the network's weights after it."""
    task, optimizer = make_task(experiment), make_optimizer(experiment.optimizer, parameter_groups(built))
    batches = TrainingBatches(
        samples_of(pack), torch.arange(40), global_batch=16, augment=Augment(), seed=0, classes=len(pack.classes)
    )
    train_mode(built)
    for epoch in range(epochs):
        for batch in batches.epoch(epoch):
            for inputs, targets in batch.micro_batches(None):
                optimizer.zero_grad()
                (task.loss(built.module(inputs), targets) / batch.global_size).backward()
                optimizer.step()
    return built.module.state_dict()


@pytest.mark.parametrize(
    ("problem", "make", "options"), [("images", make_pack, HEAD), ("regression", make_curve, CURVE)]
)
def test_training_on_features_ends_with_the_weights_of_training_on_the_inputs(tmp_path, problem, make, options):
    pack, experiment = make(), experiment_of(problem, **options, optimizer={"lr": 0.1})
    folder = compute_features(experiment, pack, tmp_path, CPU)
    whole = train(experiment, built_for(experiment, pack), pack)
    built, inputs = on_features(built_for(experiment, pack), pack, folder)
    begun = {name: tensor.clone() for name, tensor in built.module.state_dict().items()}
    rest = train(experiment, built, inputs)
    assert list(rest) == list(whole)
    assert not same(rest, begun)
    for name, tensor in rest.items():
        torch.testing.assert_close(tensor, whole[name], rtol=0, atol=1e-6)


def test_features_are_of_every_sample_in_the_order_of_the_pack(tmp_path):
    pack, experiment = make_pack(), experiment_of("images", **HEAD)
    told = []
    folder = compute_features(experiment, pack, tmp_path, CPU, lambda *news: told.append(news))
    assert told[-1] == (48, 48, "computing features")
    rows = open_features(folder)
    assert rows.shape == (48, 128)
    assert rows.dtype == np.float32
    assert not rows.flags.writeable
    built = built_for(experiment, pack)
    network = outputs(built.module, pack)
    built, inputs = on_features(built, pack, folder)
    assert inputs.names == pack.names
    assert inputs.classes == pack.classes
    torch.testing.assert_close(outputs(built.module, inputs), network)


def test_features_are_computed_once_whatever_is_trained_on_them(tmp_path):
    pack = make_pack()
    told = []
    folder = compute_features(experiment_of("images", **HEAD), pack, tmp_path, CPU)
    again = experiment_of("images", **HEAD, optimizer={"lr": 0.5}, training={"batch_size": 8, "epochs": 9})
    assert compute_features(again, pack, tmp_path, CPU, lambda *news: told.append(news)) == folder
    assert told == []


@pytest.mark.parametrize(
    "change",
    [{"seed": 1}, {"model": {**HEAD["model"], "init": "kaiming"}}, {"data": {"normalise": "unit"}},
     {"training": {"precision": "bf16"}}, {"model": {**HEAD["model"], "train": "all", "freeze_groups": 2}}],
    ids=str,
)  # fmt: skip
def test_other_frozen_layers_have_features_of_their_own(tmp_path, change):
    pack = make_pack()
    folder = compute_features(experiment_of("images", **HEAD), pack, tmp_path, CPU)
    other = compute_features(experiment_of("images", **{**HEAD, **change}), pack, tmp_path, CPU)
    assert other != folder
    assert open_features(other).shape[0] == 48


def test_another_pack_has_features_of_its_own(tmp_path):
    pack, experiment = make_pack(), experiment_of("images", **HEAD)
    other = replace(pack, fingerprint="1", inputs=255 - pack.inputs)
    folders = [compute_features(experiment, each, tmp_path, CPU) for each in (pack, other)]
    assert not np.array_equal(*map(open_features, folders))


def test_the_global_random_numbers_stay_as_they_are(tmp_path):
    state = torch.get_rng_state()
    compute_features(experiment_of("images", **HEAD), make_pack(), tmp_path, CPU)
    assert torch.equal(torch.get_rng_state(), state)


def test_damaged_features_are_refused_and_computed_again(tmp_path, caplog):
    pack, experiment = make_pack(), experiment_of("images", **HEAD)
    folder = compute_features(experiment, pack, tmp_path, CPU)
    rows = np.array(open_features(folder))
    with (folder / "inputs.bin").open("r+b") as file:
        file.write(b"damage")
    with pytest.raises(WorkError, match=rf"the features in {folder} are missing or damaged; start again"):
        open_features(folder)
    assert compute_features(experiment, pack, tmp_path, CPU) == folder
    assert "damaged and are computed again" in caplog.text
    assert np.array_equal(open_features(folder), rows)


def test_a_computation_that_breaks_off_leaves_nothing_but_its_lock(tmp_path, monkeypatch):
    pack, experiment = make_pack(), experiment_of("images", **HEAD)

    def fail(self, samples):
        raise KeyboardInterrupt

    monkeypatch.setattr(FeatureExtractor, "forward", fail)
    with pytest.raises(KeyboardInterrupt):
        compute_features(experiment, pack, tmp_path, CPU)
    assert [path.suffix for path in (tmp_path / "features").iterdir()] == [".lock"]
    monkeypatch.undo()
    assert open_features(compute_features(experiment, pack, tmp_path, CPU)).shape == (48, 128)


def limited(monkeypatch, most):
    """Lets no more than so many samples at a time through the frozen layers; the numbers tried."""
    tried, forward = [], FeatureExtractor.forward

    def limited_forward(self, samples):
        tried.append(len(samples))
        if len(samples) > most:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return forward(self, samples)

    monkeypatch.setattr(FeatureExtractor, "forward", limited_forward)
    return tried


def test_out_of_memory_makes_the_batches_smaller(tmp_path, monkeypatch):
    pack, experiment = make_pack(), experiment_of("images", **HEAD)
    expected = np.array(open_features(compute_features(experiment, pack, tmp_path / "all", CPU)))
    tried = limited(monkeypatch, 20)
    rows = open_features(compute_features(experiment, pack, tmp_path / "few", CPU))
    assert tried == [48, 24, 12, 12, 12, 12]
    np.testing.assert_allclose(rows, expected, atol=1e-6)


def test_a_machine_without_the_drivers_features_computes_its_own(tmp_path):
    pack, experiment = make_pack(), experiment_of("images", **HEAD)
    drivers = compute_features(experiment, pack, tmp_path / "driver", CPU)
    assert features_here(drivers, experiment, pack, tmp_path / "other", CPU) == drivers
    rows = np.array(open_features(drivers))
    shutil.rmtree(tmp_path / "driver")
    here = features_here(drivers, experiment, pack, tmp_path / "other", CPU)
    assert here == tmp_path / "other" / "features" / drivers.name
    assert np.array_equal(open_features(here), rows)


def test_that_not_even_one_sample_fits_is_told_as_it_is(tmp_path, monkeypatch):
    limited(monkeypatch, 0)
    with pytest.raises(RuntimeError, match="can't allocate"):
        compute_features(experiment_of("images", **HEAD), make_pack(), tmp_path, CPU)


@pytest.mark.parametrize("other", [{"hidden": [16, 8], "freeze": ["linear1", "linear2"]}, {"hidden": [16, 8]}], ids=str)
def test_features_of_other_layers_are_refused(tmp_path, other):
    pack, experiment = make_curve(), experiment_of("regression", **CURVE)
    folder = compute_features(experiment, pack, tmp_path, CPU)
    built = built_for(experiment_of("regression", model=other), pack)
    with pytest.raises(WorkError, match="are not what these frozen layers make of these samples"):
        on_features(built, pack, folder)
    with pytest.raises(WorkError, match="are not what these frozen layers make of these samples"):
        on_features(built_for(experiment, pack), make_curve(32), folder)


@pytest.mark.parametrize(
    ("problem", "options", "reason"),
    [
        ("images", {"model": {"name": "cnn"}}, "nothing is frozen"),
        ("images", {"model": {"train": "head", "unfreeze": [2]}}, "model.unfreeze trains the frozen layers later"),
        ("images", {**HEAD, "data": {"augment": {"flip": 0.5}}}, "data.augment.flip changes the images"),
        ("images", {**HEAD, "data": {"augment": {"mixup": 0.2}}}, "data.augment.mixup changes the images"),
        ("autoencoding", {"model": {"freeze": ["encoder.1"]}}, "autoencoding needs the images themselves"),
        ("adversarial", {}, "adversarial needs the images themselves"),
    ],
)
def test_where_there_is_nothing_to_share_the_reason_is_told(tmp_path, problem, options, reason):
    experiment = experiment_of(problem, **options)
    assert why_not(experiment) == reason
    assert compute_features(experiment, make_pack(), tmp_path, CPU) is None


def test_a_network_that_cannot_be_cut_has_no_features(tmp_path):
    experiment = experiment_of("images", model={"name": "cnn", "freeze": ["hidden"]})
    assert why_not(experiment) is None
    assert compute_features(experiment, make_pack(), tmp_path, CPU) is None
    assert not (tmp_path / "features").exists()
