"""What the options change in a network: dropout, BatchNorm, layers taken out, how weights begin, log-probabilities."""

import pytest
import torch
from torch import nn

from trainers.errors import RequestError
from trainers.experiment import Experiment, Model
from trainers.models import build, dry_run

IMAGE = (3, 32, 32)


def test_dropout_is_set_in_every_dropout_layer_and_else_left_as_it_is():
    def rates(**options):
        module = build(Model(name="squeezenet1_1", **options), IMAGE, 2).module
        return [layer.p for layer in module.modules() if isinstance(layer, nn.Dropout)]

    assert rates() == [0.5]
    assert rates(dropout=0.0) == [0.0]
    gan = build(Model(name="mlp_gan", dropout=0.1), IMAGE, 0, task="adversarial").module
    assert [layer.p for layer in gan.modules() if isinstance(layer, nn.Dropout)] == [0.1, 0.1]


def test_dropout_is_refused_where_there_is_no_layer_for_it():
    with pytest.raises(RequestError, match=r"model\.dropout: cifar_resnet20 has no dropout layer"):
        build(Model(name="cifar_resnet20", dropout=0.1), IMAGE, 2)


def test_batch_norm_is_an_option_of_some_networks_and_the_others_are_as_they_are():
    assert any(isinstance(layer, nn.BatchNorm2d) for layer in build(Model(batch_norm=True), IMAGE, 2).module.modules())
    plain, asked = (build(Model(name="relu_mlp", batch_norm=batch_norm), IMAGE, 2) for batch_norm in (False, True))
    assert str(plain.module) == str(asked.module)


def test_layers_are_taken_out_by_name():
    module = build(Model(remove=["classifier.5", "features.7", "features.7"]), IMAGE, 2).module
    assert isinstance(module.classifier[5], nn.Identity)
    assert isinstance(module.features[7], nn.Identity)
    assert module(torch.zeros(1, *IMAGE)).shape == (1, 2)


def test_a_block_and_a_part_of_it_may_both_be_taken_out():
    module = build(Model(name="cifar_resnet20", remove=["layer1.1", "layer1.1.conv1"]), IMAGE, 2).module
    assert isinstance(module.layer1[1], nn.Identity)
    assert module(torch.zeros(1, *IMAGE)).shape == (1, 2)


def test_a_layer_that_is_not_there_is_refused_with_the_nearest_names():
    with pytest.raises(RequestError, match=r"model\.remove: no layer `clasifier\.5`; did you mean .*classifier\.5"):
        build(Model(remove=["clasifier.5"]), IMAGE, 2)
    with pytest.raises(RequestError, match=r"model\.remove: no layer `xyz`; there are features, classifier$"):
        build(Model(remove=["xyz"]), IMAGE, 2)


@pytest.mark.parametrize("name", ["classifier.6", "classifier"])
def test_the_last_layer_stays(name):
    with pytest.raises(RequestError, match=rf"model\.remove: {name} has the last layer, classifier\.6, which stays"):
        build(Model(remove=[name]), IMAGE, 2)


def test_layers_that_no_longer_fit_are_told_by_the_dry_run():
    with pytest.raises(RequestError, match=r"model\.remove: without classifier\.3 the layers of simple_cnn no longer"):
        dry_run(Experiment(model=Model(remove=["classifier.3"])), IMAGE, 2)
    changed = {"name": "mlp_autoencoder", "remove": ["decoder.6"]}
    options = Experiment.model_validate({"task": "autoencoding", "data": {"normalise": "unit"}, "model": changed})
    with pytest.raises(RequestError, match=r"without decoder\.6 .*it puts out \(64,\) instead of \(1, 8, 8\)"):
        dry_run(options, (1, 8, 8), 0)


def test_weights_of_removed_layers_are_not_missed():
    whole = build(Model(name="cifar_resnet20"), IMAGE, 2).module
    part = build(Model(name="cifar_resnet20", remove=["layer1.1"]), IMAGE, 2, whole.state_dict())
    assert part.missing == ()


INITIAL = {
    "kaiming": (2 / (64 * 9)) ** 0.5,
    "xavier": (2 / ((32 + 64) * 9)) ** 0.5,
    "orthogonal": (1 / (32 * 9)) ** 0.5,
    "normal": 0.02,
}


@pytest.mark.parametrize(("init", "deviation"), INITIAL.items())
def test_weights_begin_as_asked(init, deviation):
    torch.manual_seed(0)
    module = build(Model(init=init), IMAGE, 2).module
    assert module.features[3].weight.std().item() == pytest.approx(deviation, rel=0.05)
    assert not any(layer.bias.any() for layer in module.modules() if isinstance(layer, nn.Conv2d | nn.Linear))


def test_only_what_a_weights_file_lacks_is_drawn():
    given = build(Model(), IMAGE, 3).module.state_dict()
    built = build(Model(init="normal"), IMAGE, 2, given)
    now = built.module.state_dict()
    assert built.missing == ("classifier.6.weight", "classifier.6.bias")
    assert all(torch.equal(now[name], given[name]) for name in now if name not in built.missing)
    assert not now["classifier.6.bias"].any()


@pytest.mark.parametrize("name", ["simple_cnn", "cifar_resnet20", "squeezenet1_1"])
def test_log_probabilities_add_up_and_leave_the_parameters_their_names(name):
    torch.manual_seed(0)
    plain = build(Model(name=name), IMAGE, 4)
    built = build(Model(name=name, output="log-softmax"), IMAGE, 4, plain.module.state_dict())
    assert built.missing == ()
    assert built.head == plain.head
    images = torch.randn(2, *IMAGE)
    found = built.module.eval()(images)
    torch.testing.assert_close(found, plain.module.eval()(images).log_softmax(dim=1))
    torch.testing.assert_close(found.exp().sum(dim=1), torch.ones(2))
