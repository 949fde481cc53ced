"""Networks by name: each takes the shapes and has the outputs that it promises, and is for its tasks alone."""

import pytest
import torch
from torch import nn

from trainers.catalogue import TASKS
from trainers.errors import RequestError
from trainers.experiment import Experiment, Model
from trainers.models import CNN, build, dry_run, network_names
from trainers.models.simple_cnn import SimpleCNN
from trainers.models.table import NETWORKS

IMAGES = [(1, 8, 8), (3, 8, 8), (1, 28, 28), (3, 32, 32), (2, 64, 64)]


def of_task(task):
    return [name for name, network in NETWORKS.items() if network.kind == TASKS[task].network]


@pytest.mark.parametrize("shape", [*IMAGES, (3, 50, 50)], ids=str)
@pytest.mark.parametrize("name", [name for name in of_task("classification") if name[-2:] not in ("32", "44", "56")])
def test_own_classifiers_take_images_of_any_size_and_number_of_channels(name, shape):
    module = build(Model(name=name), shape, 7).module
    assert module(torch.zeros(2, *shape)).shape == (2, 7)


@pytest.mark.parametrize("task", ["classification", "regression"])
@pytest.mark.parametrize("name", ["linear", "linear_mlp", "relu_mlp", "batchnorm_mlp", "mlp"])
def test_mlps_take_vectors_too(name, task):
    assert build(Model(name=name), (2,), 3, task=task).module(torch.zeros(4, 2)).shape == (4, 3)


def weights_of(module):
    layers = [layer for layer in module.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    return [tuple(layer.weight.shape) for layer in layers]


def test_simple_cnn_is_the_network_of_the_tutorials():
    shapes = weights_of(SimpleCNN(10))
    assert shapes == [(32, 3, 3, 3), (64, 32, 3, 3), (128, 64, 3, 3), (512, 2048), (64, 512), (10, 64)]


@pytest.mark.parametrize(
    ("name", "norms", "relus"), [("linear_mlp", 0, 0), ("relu_mlp", 0, 2), ("batchnorm_mlp", 2, 2)]
)
def test_the_three_mlps_differ_in_what_is_between_their_layers(name, norms, relus):
    module = build(Model(name=name), (1, 28, 28), 10).module
    assert weights_of(module) == [(300, 784), (100, 300), (10, 100)]
    assert sum(isinstance(layer, nn.BatchNorm1d) for layer in module) == norms
    assert sum(isinstance(layer, nn.ReLU) for layer in module) == relus


def test_a_linear_mlp_is_linear():
    torch.manual_seed(0)
    module = build(Model(name="linear_mlp"), (5,), 3).module.double()
    a, b, zero = torch.randn(1, 5).double(), torch.randn(1, 5).double(), torch.zeros(1, 5).double()
    torch.testing.assert_close(module(a + b) - module(zero), module(a) + module(b) - 2 * module(zero))


def test_an_mlp_is_as_wide_as_asked():
    module = build(Model(name="mlp", hidden=[32, 16], batch_norm=True, dropout=0.25), (2,), 3).module
    assert weights_of(module) == [(32, 2), (16, 32), (3, 16)]
    assert [layer.p for layer in module if isinstance(layer, nn.Dropout)] == [0.25, 0.25]
    assert [name for name, _ in module.named_children()][:5] == ["flatten", "linear1", "norm1", "relu1", "dropout1"]


@pytest.mark.parametrize(("depth", "parameters"), [(20, 0.27e6), (32, 0.46e6), (44, 0.66e6), (56, 0.85e6)])
def test_the_cifar_resnets_are_as_large_as_the_paper_says(depth, parameters):
    module = build(Model(name=f"cifar_resnet{depth}"), (3, 32, 32), 10).module
    assert sum(parameter.numel() for parameter in module.parameters()) == pytest.approx(parameters, abs=0.01e6)
    assert len(weights_of(module)) == depth


@pytest.mark.parametrize("depth", [11, 16])
def test_the_cifar_vggs_have_a_single_linear_layer(depth):
    kinds = [len(shape) for shape in weights_of(build(Model(name=f"cifar_vgg{depth}"), (3, 32, 32), 10).module)]
    assert kinds == [4] * (8 if depth == 11 else 13) + [2]


def test_the_features_of_the_cnn_are_what_its_last_layer_sees():
    torch.manual_seed(0)
    module = build(Model(name="cnn"), (1, 28, 28), 10).module.eval()
    images = torch.randn(3, 1, 28, 28)
    assert isinstance(module, CNN)
    assert module.features(images).shape == (3, 128)
    torch.testing.assert_close(module.head(module.features(images)), module(images))


@pytest.mark.parametrize("shape", IMAGES, ids=str)
@pytest.mark.parametrize("name", ["mlp_autoencoder", "conv_autoencoder"])
def test_autoencoders_give_back_what_they_are_given(name, shape):
    torch.manual_seed(0)
    module = build(Model(name=name, latent=5), shape, 0, task="autoencoding").module
    images = torch.rand(3, *shape)
    latent = module.encode(images)
    assert latent.shape == (3, 5)
    torch.testing.assert_close(module.decode(latent), module(images))
    assert module(images).shape == images.shape
    assert 0 <= module(images).min() <= module(images).max() <= 1


@pytest.mark.parametrize("name", ["mlp_autoencoder", "conv_autoencoder"])
def test_autoencoders_learn(name):
    torch.manual_seed(0)
    module = build(Model(name=name, latent=8), (1, 8, 8), 0, task="autoencoding").module
    images = torch.rand(16, 1, 2, 2).repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)
    optimizer = torch.optim.Adam(module.parameters(), lr=3e-3)
    losses = []
    for _ in range(150):
        loss = nn.functional.mse_loss(module(images), images)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 4


@pytest.mark.parametrize("shape", IMAGES, ids=str)
@pytest.mark.parametrize("name", ["mlp_gan", "dcgan"])
def test_gans_make_images_and_judge_each(name, shape):
    torch.manual_seed(0)
    module = build(Model(name=name, latent=6), shape, 0, task="adversarial").module
    assert module.latent == 6
    images = module(torch.randn(4, 6))
    assert images.shape == (4, *shape)
    assert -1 <= images.min() <= images.max() <= 1
    assert module.discriminator(images).shape == (4,)
    assert module.eval().discriminator(images[:1]).shape == (1,)


def test_the_weights_of_a_dcgan_begin_as_in_the_paper():
    torch.manual_seed(0)
    module = build(Model(name="dcgan"), (1, 28, 28), 0, task="adversarial").module
    assert module.generator[4].weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert module.generator[2].weight.mean().item() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize(("name", "task"), [("conv_autoencoder", "autoencoding"), ("dcgan", "adversarial")])
def test_what_halves_and_doubles_refuses_other_sides_than_multiples_of_four(name, task):
    with pytest.raises(RequestError, match=rf"data\.image_size: {name} wants a multiple of 4, not 30; set 28 or 32"):
        build(Model(name=name), (1, 30, 30), 0, task=task)


# Networks of each family, the smallest of it.
FAMILIES = [
    "convnext_tiny", "densenet121", "efficientnet_b0", "googlenet", "inception_v3", "maxvit_t", "mnasnet0_5",
    "mobilenet_v2", "mobilenet_v3_small", "regnet_y_400mf", "resnet18", "shufflenet_v2_x0_5",
    "squeezenet1_0", "squeezenet1_1", "swin_v2_t", "vgg11_bn", "vit_b_16",
]  # fmt: skip


@pytest.mark.parametrize("name", FAMILIES)
def test_each_family_of_torchvision_gets_as_many_outputs_as_are_wanted(name):
    assert name in network_names("classification")
    assert name in network_names("regression")
    last = [layer for layer in dry_run(Experiment(model=Model(name=name)), (3, 224, 224), 5).layers if layer.parameters]
    assert last[-1].output[0] == 5


def test_the_logits_of_squeezenet_may_be_negative():
    torch.manual_seed(0)
    module = build(Model(name="squeezenet1_0"), (3, 64, 64), 40).module.eval()
    assert not any(isinstance(layer, nn.ReLU) for layer in module.classifier)
    assert module(torch.randn(4, 3, 64, 64)).min() < 0


def test_an_unknown_network_is_refused_with_the_nearest_names():
    with pytest.raises(RequestError, match=r"model\.name: no network `resnet19`; did you mean .*resnet18"):
        build(Model(name="resnet19"), (3, 64, 64), 2)


def test_a_network_for_another_task_is_refused_with_those_that_there_are():
    with pytest.raises(RequestError, match=r"model\.name: cnn is not for adversarial; there are mlp_gan, dcgan$"):
        build(Model(name="cnn"), (1, 28, 28), 0, task="adversarial")
    with pytest.raises(RequestError, match=r"model\.name: resnet18 is not for autoencoding; there are"):
        build(Model(name="resnet18"), (3, 64, 64), 0, task="autoencoding")


@pytest.mark.parametrize("name", ["cnn", "resnet18"])
def test_vectors_are_refused_by_what_takes_images(name):
    with pytest.raises(RequestError, match=rf"model\.name: {name} takes images, .* take one of linear, .*mlp"):
        build(Model(name=name), (2,), 3)


def test_grey_images_are_refused_by_what_takes_colour():
    with pytest.raises(RequestError, match=r"data\.channels: resnet18 wants rgb; set data\.channels rgb"):
        build(Model(name="resnet18"), (1, 64, 64), 2)


def test_an_image_that_a_transformer_cannot_cut_into_patches_is_refused():
    with pytest.raises(RequestError, match=r"model\.name: vit_b_16 at 50 px"):
        build(Model(name="vit_b_16"), (3, 50, 50), 2)
