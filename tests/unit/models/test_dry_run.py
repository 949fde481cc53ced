"""The dry run tries one sample, and says how large the network is and what it is made of."""

import math

import pytest

from trainers.errors import RequestError
from trainers.experiment import Experiment
from trainers.models import Layer, Size, dry_run, summary_table


def experiment(name, task="classification", **model):
    normalise = {"autoencoding": "unit", "adversarial": "symmetric"}.get(task, "imagenet")
    options = {"task": task, "model": {"name": name, **model}, "data": {"normalise": normalise}}
    if task == "regression":
        options["data"] = {"source": "curve"}
    return Experiment.model_validate(options)


def test_layers_are_listed_as_they_run_with_their_outputs_and_work():
    layers = dry_run(experiment("mlp", hidden=[4], train="head"), (1, 2, 3), 5).layers
    assert layers == (
        Layer("flatten", "Flatten", (6,), 0, 0, 0),
        Layer("linear1", "Linear", (4,), 28, 0, 24, group=1),
        Layer("relu1", "ReLU", (4,), 0, 0, 0),
        Layer("dropout1", "Dropout", (4,), 0, 0, 0),
        Layer("linear2", "Linear", (5,), 25, 25, 20, group=2),
    )


@pytest.mark.parametrize(
    ("name", "shape", "multiply_adds", "parameters"),
    [
        ("cifar_resnet20", (3, 32, 32), 40_551_040, 269_722),  # He et al. 2016: 0.27 M parameters
        ("resnet18", (3, 224, 224), 1_814_073_344 - 512 * 990, 11_689_512 - 513 * 990),  # torchvision: 1.814 G, 11.7 M
        ("vit_b_32", (3, 224, 224), 4_409_186_304 - 768 * 990, 88_224_232 - 769 * 990),  # torchvision: 4.409 G, 88.2 M
        ("swin_t", (3, 224, 224), 4_490_566_656 - 768 * 990, 28_288_354 - 769 * 990),  # torchvision: 4.491 G, 28.3 M
    ],
)
def test_known_networks_have_their_known_sizes(name, shape, multiply_adds, parameters):
    size = dry_run(experiment(name), shape, 10)
    assert (size.multiply_adds, size.parameters) == (multiply_adds, parameters)


def test_transposed_convolutions_work_as_much_as_their_mirror_images():
    layers = {layer.name: layer for layer in dry_run(experiment("dcgan", "adversarial"), (1, 28, 28), 0).layers}
    assert layers["generator.7"].multiply_adds == layers["discriminator.2"].multiply_adds == 7 * 7 * 64 * 32 * 16
    assert layers["discriminator.11"].output == (1,)


@pytest.mark.parametrize(
    ("name", "task", "shape"),
    [
        ("mlp", "regression", (1,)),
        ("conv_autoencoder", "autoencoding", (3, 16, 16)),
        ("mlp_autoencoder", "autoencoding", (1, 28, 28)),
        ("mlp_gan", "adversarial", (1, 12, 12)),
        ("dcgan", "adversarial", (3, 16, 16)),
    ],
)
def test_each_task_is_tried_with_what_its_network_is_given(name, task, shape):
    size = dry_run(experiment(name, task), shape, 1)
    assert size.parameters == size.trained == sum(layer.parameters for layer in size.layers)
    assert size.activations >= size.kept > 0


def test_an_image_too_small_for_the_network_is_refused_before_it_costs():
    with pytest.raises(RequestError, match=r"data\.image_size: squeezenet1_1 cannot take images of 8 px"):
        dry_run(experiment("squeezenet1_1"), (3, 8, 8), 2)


def test_layers_that_run_twice_are_listed_once_and_counted_twice():
    size = dry_run(experiment("resnet18"), (3, 32, 32), 2)
    listed = [layer.name for layer in size.layers]
    assert listed.count("layer1.0.relu") == 1
    assert len(listed) == len(set(listed))
    assert size.activations > sum(math.prod(layer.output) for layer in size.layers)


def test_only_activations_behind_the_first_trained_layer_are_kept():
    whole = dry_run(experiment("simple_cnn"), (3, 32, 32), 2)
    head = dry_run(experiment("simple_cnn", train="head"), (3, 32, 32), 2)
    assert whole.kept == whole.activations == head.activations
    assert head.kept == 2
    assert head.trained == 130


@pytest.mark.parametrize(
    ("optimizer", "momentum", "states"),
    [
        ("sgd", 0, 0), ("sgd", 0.9, 1), ("adam", 0.9, 2), ("adamw", 0, 2), ("rmsprop", 0, 1), ("rmsprop", 0.9, 2),
        ("adagrad", 0.9, 1),
    ],
)  # fmt: skip
def test_memory_is_weights_gradients_the_optimisers_averages_and_activations(optimizer, momentum, states):
    size = Size(parameters=100, trained=60, activations=50, kept=7, layers=())
    assert size.training_bytes(3, optimizer, momentum) == 4 * (100 + 60 + states * 60 + 3 * 7)


def test_memory_is_that_of_the_last_stage_where_layers_are_unfrozen():
    options = experiment("simple_cnn", train="head", unfreeze=[2])
    whole = dry_run(experiment("simple_cnn"), (3, 32, 32), 2).training_bytes(8, "adam", 0)
    assert dry_run(options, (3, 32, 32), 2).training_bytes(8, "adam", 0) == whole


def test_the_table_is_aligned_and_adds_up():
    lines = summary_table(dry_run(experiment("mlp", hidden=[1000], train="head"), (1, 28, 28), 10)).splitlines()
    assert lines == [
        "layer     kind     output  group  parameters  state           multiply-adds",
        "flatten   Flatten  784",
        "linear1   Linear   1000        1     785,000  frozen                784,000",
        "relu1     ReLU     1000",
        "dropout1  Dropout  1000",
        "linear2   Linear   10          2      10,010  trained                10,000",
        "total                                795,010  10,010 trained        794,000",
    ]


def test_the_table_says_where_parameters_are_that_no_layer_has():
    size = Size(100, 80, 0, 0, (Layer("conv", "Conv2d", (2, 4, 4), 70, 70, 1000),))
    assert summary_table(size).splitlines()[-2].split() == ["other", "30", "10", "trained"]


def test_the_table_says_what_attention_takes_that_no_layer_does():
    size = Size(70, 70, 0, 0, (Layer("conv", "Conv2d", (2, 4, 4), 70, 70, 1000),), elsewhere=500)
    lines = [line.split() for line in summary_table(size).splitlines()]
    assert lines[-2:] == [["other", "500"], ["total", "70", "trained", "1,500"]]
