"""Frozen layers have no gradients and stand still; layer groups are unfrozen from the last to the first."""

import pytest
import torch
from torch import nn

from trainers.errors import RequestError
from trainers.experiment import Model
from trainers.models import build, freeze, parameter_groups, parameter_groups_of, stage_at, train_mode

IMAGE = (3, 32, 32)


def on_meta(**options):
    """The large networks of torchvision without the time that their initial weights take."""
    with torch.device("meta"):
        return build(Model(**options), (3, 64, 64), 2)


def trained(built):
    """Top-level parts in which something is trained."""
    names = [name for name, parameter in built.module.named_parameters() if parameter.requires_grad]
    return list(dict.fromkeys(name.split(".")[0] for name in names))


GROUPS = {
    "resnet18": [("conv1", "bn1"), ("layer1",), ("layer2",), ("layer3",), ("layer4",), ("fc",)],
    "cifar_resnet20": [("conv1", "bn1"), ("layer1",), ("layer2",), ("layer3",), ("linear",)],
    "mlp": [("linear1",), ("linear2",)],
    "batchnorm_mlp": [("linear1", "norm1"), ("linear2", "norm2"), ("linear3",)],
    "vgg16": [(f"features.{place}",) for place in (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)]
    + [("classifier.0",), ("classifier.3",), ("classifier.6",)],
    "squeezenet1_1": [(f"features.{place}",) for place in (0, 3, 4, 6, 7, 9, 10, 11, 12)] + [("classifier.1",)],
    "mobilenet_v2": [(f"features.{place}",) for place in range(19)] + [("classifier.1",)],
}


@pytest.mark.parametrize("name", GROUPS)
def test_layer_groups_are_the_parts_that_one_would_name(name):
    assert list(on_meta(name=name).groups) == GROUPS[name]


def test_the_layer_groups_of_a_gan_are_its_two_networks():
    built = build(Model(name="dcgan"), IMAGE, 0, task="adversarial")
    assert built.groups == (("generator",), ("discriminator",))


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "swin_t", "vit_b_32", "shufflenet_v2_x0_5", "cnn"])
def test_layer_groups_hold_every_parameter_once_and_the_head_last(name):
    built = on_meta(name=name)
    groups = parameter_groups(built)
    assert len({id(parameter) for group in groups for parameter in group}) == len(list(built.module.parameters()))
    assert sum(map(len, groups)) == len(list(built.module.parameters()))
    head = built.module.get_submodule(built.head)
    assert any(parameter is head.weight for parameter in groups[-1])


def test_parts_have_parameter_groups_of_their_own():
    module = build(Model(name="mlp_gan"), IMAGE, 0, task="adversarial").module
    assert [len(group) for group in parameter_groups_of(module.generator)] == [2, 2, 2]


def test_a_frozen_backbone_has_no_gradients_and_stays_in_eval_mode():
    built = on_meta(name="resnet18", train="head")
    train_mode(built)
    names = [name for name, parameter in built.module.named_parameters() if parameter.requires_grad]
    assert names == ["fc.weight", "fc.bias"]
    on = [name for name, module in built.module.named_modules() if module.training]
    assert on == ["", "avgpool", "fc"]  # pooling is before the trained layer, and the same in either mode


def test_layers_are_frozen_by_name_with_all_that_is_in_them():
    built = build(Model(name="cifar_resnet20", freeze=["conv1", "bn1", "layer1", "layer2.0"]), IMAGE, 2)
    assert trained(built) == ["layer2", "layer3", "linear"]
    assert not any(parameter.requires_grad for parameter in built.module.layer2[0].parameters())
    assert all(parameter.requires_grad for parameter in built.module.layer2[1].parameters())


def test_a_name_does_not_freeze_another_that_begins_like_it():
    built = build(Model(name="cifar_vgg11", freeze=["features.1"]), IMAGE, 2)
    frozen = [name for name, parameter in built.module.named_parameters() if not parameter.requires_grad]
    assert frozen == ["features.1.weight", "features.1.bias"]


def test_the_first_groups_are_frozen_by_number():
    assert trained(build(Model(name="cifar_resnet20", freeze_groups=2), IMAGE, 2)) == ["layer2", "layer3", "linear"]


def test_a_layer_that_is_not_there_is_refused_with_the_nearest_names():
    with pytest.raises(RequestError, match=r"model\.freeze: no layer `layer7`; did you mean layer3, layer2, layer1"):
        build(Model(name="cifar_resnet20", freeze=["layer7"]), IMAGE, 2)


@pytest.mark.parametrize("options", [{"freeze_groups": 9}, {"freeze": ["features", "classifier"]}])
def test_that_nothing_is_left_to_train_is_refused(options):
    with pytest.raises(RequestError, match=r"model\.freeze: nothing is left to train"):
        build(Model(**options), IMAGE, 2)


def test_freezing_is_refused_where_it_makes_no_sense():
    with pytest.raises(RequestError, match=r"model\.train: head is not for autoencoding"):
        build(Model(name="mlp_autoencoder", train="head"), IMAGE, 0, task="autoencoding")
    with pytest.raises(RequestError, match=r"model\.freeze: is not for adversarial"):
        build(Model(name="dcgan", freeze_groups=1), IMAGE, 0, task="adversarial")


def test_stages_begin_before_the_epochs_that_are_named():
    options = Model(train="head", unfreeze=[3, 5])
    assert [stage_at(options, epoch) for epoch in range(6)] == [0, 0, 1, 1, 2, 2]
    assert stage_at(Model(), 100) == 0


def test_each_stage_trains_one_more_group_from_the_last_and_the_last_stage_all():
    options = Model(name="cifar_resnet20", train="head", unfreeze=[2, 3, 4])
    built = build(options, IMAGE, 2)
    stages = []
    for stage in range(4):
        freeze(built, options, stage)
        stages.append(trained(built))
    assert stages == [
        ["linear"],
        ["layer3", "linear"],
        ["layer2", "layer3", "linear"],
        ["conv1", "bn1", "layer1", "layer2", "layer3", "linear"],
    ]
    assert [len(group) for group in parameter_groups(built)][:2] == [3, 18]


def test_a_stage_frees_the_last_group_that_is_frozen_however_it_was_frozen():
    options = Model(name="cifar_resnet20", freeze=["conv1", "layer2.1"], unfreeze=[2, 3])
    built = build(options, IMAGE, 2)
    freeze(built, options, 1)
    frozen = [name for name, parameter in built.module.named_parameters() if not parameter.requires_grad]
    assert frozen == ["conv1.weight"]
    freeze(built, options, 0)  # and back
    assert not any(parameter.requires_grad for parameter in built.module.layer2[1].parameters())


def test_groups_without_anything_to_train_are_empty():
    built = build(Model(name="cifar_resnet20", train="head"), IMAGE, 2)
    assert [len(group) for group in parameter_groups(built)] == [0, 0, 0, 0, 2]


def test_frozen_batch_norm_stays_still_and_trained_batch_norm_does_not():
    torch.manual_seed(0)
    built = build(Model(name="cifar_resnet20", freeze_groups=2), IMAGE, 2)
    before = {name: buffer.clone() for name, buffer in built.module.named_buffers()}
    train_mode(built)
    built.module(torch.randn(4, *IMAGE))
    moved = {
        name.split(".")[0] for name, buffer in built.module.named_buffers() if not torch.equal(buffer, before[name])
    }
    assert moved == {"layer2", "layer3"}


def dropout(built):
    train_mode(built)
    return [layer.training for layer in built.module.modules() if isinstance(layer, nn.Dropout)]


def test_dropout_is_on_before_a_trained_layer_and_off_before_a_frozen_one():
    options = {"name": "vgg11", "unfreeze": [2, 3]}
    assert dropout(on_meta(name="vgg11")) == [True, True]
    assert dropout(on_meta(**options, train="head")) == [False, True]
    assert dropout(on_meta(**options, freeze=["classifier.3"])) == [False, True]
    assert dropout(on_meta(name="simple_cnn", train="head")) == [True]


def test_stochastic_depth_is_off_in_frozen_blocks_and_on_in_trained_ones():
    built = on_meta(name="efficientnet_b0", freeze_groups=4)
    train_mode(built)
    modes = {
        name.split(".")[1]: module.training
        for name, module in built.module.named_modules()
        if type(module).__name__ == "StochasticDepth"
    }
    assert modes == {"1": False, "2": False, "3": False, "4": True, "5": True, "6": True, "7": True}


def test_training_mode_comes_back_after_evaluation_and_after_unfreezing():
    options = Model(train="head", unfreeze=[2])
    built = build(options, IMAGE, 2)
    train_mode(built)
    built.module.eval()
    freeze(built, options, 1)
    train_mode(built)
    assert all(module.training for module in built.module.modules())


def test_a_layer_that_the_weights_lack_is_not_frozen_as_it_begins():
    whole = build(Model(name="cifar_resnet20"), IMAGE, 2).module.state_dict()
    weights = {name: tensor for name, tensor in whole.items() if not name.startswith("layer3")}
    with pytest.raises(RequestError, match=r"model\.freeze: layer3\.0\.conv1\.weight would be frozen as it begins"):
        build(Model(name="cifar_resnet20", partial=True, train="head"), IMAGE, 2, weights)
    build(Model(name="cifar_resnet20", partial=True, freeze=["layer1", "layer2"]), IMAGE, 2, weights)
