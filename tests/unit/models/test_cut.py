"""The layers that stand still and the rest: together they do what the network does, and they share its weights."""

import copy

import pytest
import torch
from torch import nn
from toys import same, snapshot

from trainers.experiment import Model
from trainers.models import Built, build, cut, freeze, train_mode
from trainers.models.built import layer_groups

SIDE = 32
IMAGE = (3, SIDE, SIDE)


def built_as(name="cifar_resnet20", side=SIDE, **options):
    torch.manual_seed(0)
    built = build(Model(name=name, **options), (3, side, side), 3)
    built.module.to(memory_format=torch.channels_last)
    return built


def custom(network, head="head", **options):
    """A network of a test's own, made ready as `build` does."""
    built = Built(network, head, (), layer_groups(network))
    freeze(built, Model(**options))
    return built


def images(side=SIDE):
    return torch.randn(4, 3, side, side, generator=torch.Generator().manual_seed(1)).to(
        memory_format=torch.channels_last
    )


def seeded(module, given):
    torch.manual_seed(2)
    return module(given)


# Options, side of the images, and the shape of what crosses the cut.
CUTS = [
    ({"name": "mlp", "hidden": [16, 8], "freeze": ["linear1"], "dropout": 0.5}, SIDE, (16,)),
    ({"name": "mlp", "hidden": [16, 8], "train": "head", "batch_norm": True}, SIDE, (8,)),
    ({"name": "simple_cnn", "train": "head", "dropout": 0.5, "output": "log-softmax"}, SIDE, (64,)),
    ({"name": "simple_cnn", "freeze_groups": 2, "batch_norm": True}, SIDE, (64, 8, 8)),
    ({"name": "cnn", "train": "head"}, SIDE, (128,)),
    ({"name": "cifar_resnet20", "freeze_groups": 2}, SIDE, (16, 32, 32)),
    ({"name": "cifar_vgg11", "freeze": ["features.0", "features.1"]}, SIDE, (64, 16, 16)),
    ({"name": "resnet18", "train": "head"}, SIDE, (512,)),
    ({"name": "resnet18", "freeze_groups": 3}, SIDE, (128, 4, 4)),
    ({"name": "squeezenet1_0", "train": "head", "output": "log-softmax"}, 64, (512, 1, 1)),
    ({"name": "squeezenet1_0", "freeze_groups": 4}, 64, (256, 7, 7)),
    ({"name": "mobilenet_v2", "train": "head"}, SIDE, (1280,)),
    ({"name": "mobilenet_v3_small", "train": "head"}, SIDE, (1024,)),
    ({"name": "shufflenet_v2_x0_5", "freeze_groups": 2}, SIDE, (48, 4, 4)),
    ({"name": "alexnet", "freeze_groups": 5}, 64, (9216,)),
]


@pytest.mark.parametrize(("options", "side", "shape"), CUTS, ids=lambda case: str(case)[:60])
def test_the_two_parts_do_what_the_network_does_in_eval_mode_and_in_training(options, side, shape):
    built = built_as(side=side, **options)
    network, given = built.module, images(side)
    extractor, tail = cut(built, (3, side, side))
    assert not any(parameter.requires_grad for parameter in extractor.parameters())
    assert tail.shape == shape
    with torch.inference_mode():
        features = extractor(given)
        assert features.ndim == 2
        torch.testing.assert_close(tail(features), network(given), rtol=0, atol=0)
    features = features.clone()
    train_mode(built)
    before = snapshot(network)
    as_trained, counted = seeded(network, given), snapshot(network)
    network.load_state_dict(before)
    torch.testing.assert_close(seeded(tail, features), as_trained, rtol=0, atol=0)
    assert same(snapshot(network), counted)


def test_the_rest_has_the_weights_of_the_network_under_their_names():
    built = built_as(freeze_groups=2)
    network = built.module
    names = list(network.state_dict())
    _, tail = cut(built, IMAGE)
    assert list(tail.state_dict()) == names
    assert all(mine is its for mine, its in zip(tail.parameters(), network.parameters(), strict=True))
    assert [name for name, _ in tail.named_children()] == [name for name, _ in network.named_children()]


def test_what_is_done_to_the_rest_is_done_to_the_network_and_not_to_a_copy():
    built = built_as("cnn", train="head")
    extractor, tail = cut(built, IMAGE)
    features = extractor(images())
    average = copy.deepcopy(tail)
    before = average(features)
    tail.load_state_dict({name: torch.zeros_like(tensor) for name, tensor in tail.state_dict().items()})
    tail.to(torch.float64)
    assert all(not tensor.any() for tensor in built.module.state_dict().values())
    assert next(built.module.buffers()).dtype == torch.float64
    assert torch.equal(average(features), before)


def test_the_modes_of_the_rest_are_those_of_the_network():
    built = built_as(freeze_groups=2)
    _, tail = cut(built, IMAGE)
    of_the_rest = Built(tail, built.head, (), built.groups)
    train_mode(built)
    modes = {name: part.training for name, part in built.module.named_modules()}
    built.module.eval()
    train_mode(of_the_rest)
    assert {name: part.training for name, part in tail.named_modules()} == modes


def test_batch_norm_is_counted_after_the_cut_and_stands_still_before_it():
    built = built_as(freeze_groups=2)
    extractor, tail = cut(built, IMAGE)
    train_mode(built)
    before = snapshot(built.module)
    tail(extractor(images()))
    moved = {
        name.split(".")[0] for name, tensor in snapshot(built.module).items() if not torch.equal(tensor, before[name])
    }
    assert moved == {"layer2", "layer3"}


def test_dropout_before_a_trained_head_is_drawn_anew_each_time():
    built = built_as("simple_cnn", train="head", dropout=0.5)
    extractor, tail = cut(built, IMAGE)
    features = extractor(images())
    assert torch.equal(tail(features), tail(features))
    train_mode(built)
    assert not torch.equal(tail(features), tail(features))


def test_layers_that_change_their_inputs_leave_the_features_alone():
    network = nn.Sequential(nn.Flatten(), nn.Linear(3, 8), nn.Sequential(nn.Dropout(inplace=True), nn.Linear(8, 2)))
    built = custom(network, "2.1", freeze=["1"])
    extractor, tail = cut(built, (3, 1, 1))
    features = extractor(torch.randn(4, 3, 1, 1)).detach()
    kept = features.clone()
    train_mode(built)
    tail(features)
    assert torch.equal(features, kept)


def test_where_two_tensors_would_cross_the_cut_is_before_both():
    _, tail = cut(built_as(freeze=["conv1", "bn1", "layer1", "layer2.0.conv1"]), IMAGE)
    assert tail.shape == (16, 32, 32)  # of layer1: the block's shortcut begins there


class Transformer(nn.Module):
    """As vision transformers are: a class token, and sizes that are asked of the images."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 8, kernel_size=8, stride=8)
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        self.encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.head = nn.Linear(8, 2)

    def forward(self, given):
        count, _, height, _ = given.shape
        torch._assert(height == SIDE, "the size is fixed")
        tokens = self.patches(given).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(count, -1, -1), tokens], dim=1)
        return self.head(self.encoder(tokens)[:, 0])


@pytest.mark.parametrize(("options", "shape"), [({"train": "head"}, (8,)), ({"freeze": ["patches"]}, (8, 4, 4))])
def test_a_transformer_is_cut_after_its_last_frozen_layer(options, shape):
    built = custom(Transformer(), **options)
    parts = cut(built, IMAGE)
    if shape == (8, 4, 4):  # how many images there are is needed after that cut, too
        assert parts is None
        return
    extractor, tail = parts
    assert tail.shape == shape
    torch.testing.assert_close(tail(extractor(images())), built.module(images()))


class Functional(nn.Module):
    """Drops at random without a layer that could be put into eval mode; or looks at what it is given."""

    def __init__(self, looks):
        super().__init__()
        self.looks, self.body, self.head = looks, nn.Linear(3, 8), nn.Linear(8, 2)

    def forward(self, given):
        hidden = self.body(given)
        if not self.looks:
            return self.head(nn.functional.dropout(hidden, training=self.training))
        return self.head(hidden) if hidden.sum() > 0 else hidden


class Noisy(Functional):
    """Adds noise that is no layer's."""

    def forward(self, given):
        return self.head(self.body(given) + torch.randn(8))


@pytest.mark.parametrize(
    "network", [Functional(False), Functional(True), Noisy(False)], ids=["drops", "looks", "noisy"]
)
def test_a_network_whose_calls_depend_on_more_than_its_layers_is_not_cut(network):
    assert cut(custom(network, train="head"), (3,)) is None


@pytest.mark.parametrize("options", [{}, {"freeze": ["layer2"]}, {"freeze": ["bn1"]}], ids=str)
def test_without_frozen_layers_before_all_trained_ones_there_is_no_cut(options):
    assert cut(built_as(**options), IMAGE) is None


def test_a_trained_dropout_layer_ends_what_stands_still():
    network = nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2))
    assert cut(custom(network, "4", freeze=["2"]), (3,)) is not None  # it is off, as what comes after it is frozen
    network = nn.Sequential(nn.Flatten(), nn.Linear(3, 8), nn.RReLU(), nn.ReLU(), nn.Linear(8, 2))
    nn.init.constant_(network[1].weight, -1.0)  # what is negative the RReLU would change
    frozen, _ = cut(custom(network, "4", freeze=["1"]), (3,))
    assert torch.equal(frozen.layers(torch.ones(1, 3)), network[:2](torch.ones(1, 3)))


def test_squeezenet_averages_before_its_head_to_the_same_logits():
    import torchvision

    network = built_as("squeezenet1_1", 64).module.eval()
    assert list(network.state_dict()) == list(torchvision.models.squeezenet1_1().state_dict())
    with torch.inference_mode():
        maps = network.features[:-1](images(64))
        assert maps.shape == (4, 512, 3, 3)
        torch.testing.assert_close(network.classifier(maps).flatten(1), network(images(64)))
