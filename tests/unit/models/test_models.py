"""Networks by name: their last layer fits the classes, weights are found and checked, frozen layers stay still."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from trainers.errors import RequestError
from trainers.experiment import Experiment, Model
from trainers.models import build, dry_run, names, resolve_weights, train_mode
from trainers.models.simple_cnn import SimpleCNN


def experiment(name: str, side: int = 64, **model: object) -> Experiment:
    return Experiment.model_validate({"model": {"name": name, **model}, "data": {"image_size": side}})


@pytest.mark.parametrize("side", [8, 32, 50, 64, 129])
def test_simple_cnn_takes_images_of_any_size(side):
    network = SimpleCNN(3, batch_norm=True, dropout=0.5)
    assert network(torch.zeros(2, 3, side, side)).shape == (2, 3)


def test_simple_cnn_is_the_network_of_the_tutorials():
    layers = [layer for layer in SimpleCNN(10).modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    shapes = [tuple(layer.weight.shape) for layer in layers]
    assert shapes == [(32, 3, 3, 3), (64, 32, 3, 3), (128, 64, 3, 3), (512, 2048), (64, 512), (10, 64)]


@pytest.mark.parametrize(
    "name",
    [
        "alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "googlenet", "inception_v3", "maxvit_t",
        "mnasnet0_5", "mobilenet_v2", "mobilenet_v3_small", "regnet_y_400mf", "resnet18", "resnext50_32x4d",
        "shufflenet_v2_x0_5", "squeezenet1_0", "squeezenet1_1", "swin_t", "swin_v2_t", "vgg11_bn", "vgg16", "vit_b_16",
        "wide_resnet50_2",
    ],
)  # fmt: skip
def test_each_family_of_torchvision_gets_as_many_outputs_as_there_are_classes(name):
    assert name in names()
    options = experiment(name, 224)
    assert dry_run(options, 5).parameters > 0
    built = build(options.model, 5, 224)
    assert built.module.to("meta").eval()(torch.empty(1, 3, 224, 224, device="meta")).shape == (1, 5)
    last = built.module.get_submodule(built.head)
    assert (last.out_channels if isinstance(last, nn.Conv2d) else last.out_features) == 5


def test_the_logits_of_squeezenet_may_be_negative():
    torch.manual_seed(0)
    module = build(Model(name="squeezenet1_0"), 40, 64).module.eval()
    assert not any(isinstance(layer, nn.ReLU) for layer in module.classifier)
    assert module(torch.randn(4, 3, 64, 64)).min() < 0


def test_an_unknown_network_is_refused_with_the_nearest_names():
    with pytest.raises(RequestError, match=r"model\.name: no network `resnet19`; did you mean .*resnet18"):
        build(Model(name="resnet19"), 2, 64)


def test_an_image_too_small_for_the_network_is_refused_before_it_costs():
    with pytest.raises(RequestError, match=r"data\.image_size: alexnet cannot take images of 16 px"):
        dry_run(experiment("alexnet", 16), 2)


def test_a_frozen_backbone_has_no_gradients_and_stays_in_eval_mode():
    options = Model(name="resnet18", train="head")
    built = build(options, 2, 64)
    train_mode(built.module, options, built.head)
    trained = [name for name, parameter in built.module.named_parameters() if parameter.requires_grad]
    assert trained == ["fc.weight", "fc.bias"]
    assert [name for name, module in built.module.named_modules() if module.training] == ["fc"]


def saved(tmp_path, weights, name="weights.pth"):
    torch.save(weights, tmp_path / name)
    return str(tmp_path / name)


def test_weights_load_from_what_torch_and_safetensors_save(tmp_path):
    network = SimpleCNN(2)
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    wrapped = {"state_dict": {f"module.{name}": value for name, value in network.state_dict().items()}}
    for file in (
        str(tmp_path / "weights.safetensors"),
        saved(tmp_path, network.state_dict()),
        saved(tmp_path, wrapped, "w.pt"),
    ):
        options = Model(weights=file)
        built = build(options, 2, 64, resolve_weights(options, tmp_path))
        assert built.missing == ()
        assert all(torch.equal(a, b) for a, b in zip(built.module.parameters(), network.parameters(), strict=True))


def test_a_last_layer_for_other_classes_starts_fresh(tmp_path):
    options = Model(weights=saved(tmp_path, SimpleCNN(10).state_dict()))
    built = build(options, 2, 64, resolve_weights(options, tmp_path))
    assert built.missing == ("classifier.6.weight", "classifier.6.bias")


def test_weights_that_lack_a_layer_need_permission_and_are_listed(tmp_path):
    state = SimpleCNN(2).state_dict()
    del state["features.3.weight"]
    file = saved(tmp_path, state)
    with pytest.raises(RequestError, match=r"lacks features\.3\.weight; --model\.partial=true allows it"):
        build(Model(weights=file), 2, 64, resolve_weights(Model(weights=file), tmp_path))
    options = Model(weights=file, partial=True)
    assert build(options, 2, 64, resolve_weights(options, tmp_path)).missing == ("features.3.weight",)


def test_weights_of_another_network_are_refused_even_in_part(tmp_path):
    file = saved(tmp_path, {"stem.weight": torch.zeros(3)})
    options = Model(weights=file, partial=True)
    with pytest.raises(RequestError, match="has no layer of this network"):
        build(options, 2, 64, resolve_weights(options, tmp_path))


class Evil:
    def __reduce__(self):
        return (print, ("executed",))


def test_no_pickled_code_is_run(tmp_path, capsys):
    options = Model(weights=saved(tmp_path, {"weight": Evil()}))
    with pytest.raises(RequestError, match="is not a file of plain weights"):
        resolve_weights(options, tmp_path)
    assert "executed" not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["broken.safetensors", "broken.pth"])
def test_a_damaged_weights_file_is_named(tmp_path, name):
    (tmp_path / name).write_bytes(b"not weights at all")
    with pytest.raises(RequestError, match=name):
        resolve_weights(Model(weights=str(tmp_path / name)), tmp_path)


def test_a_missing_weights_file_is_named(tmp_path):
    with pytest.raises(RequestError, match=r"model\.weights: no file .*nowhere\.pth"):
        resolve_weights(Model(weights=str(tmp_path / "nowhere.pth")), tmp_path)


def test_without_a_network_imagenet_weights_say_which_file_to_put_where(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.download_url_to_file", _no_network)
    with pytest.raises(RequestError) as caught:
        resolve_weights(Model(name="resnet18", weights="imagenet"), tmp_path)
    assert "no route to host" in str(caught.value)
    assert f"put it at {tmp_path}/hub/checkpoints/resnet18-f37072fd.pth" in str(caught.value)


def _no_network(*_args, **_kwargs):
    import urllib.error

    raise urllib.error.URLError("no route to host")


def test_imagenet_weights_that_were_put_in_place_are_checked_by_their_hash(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    place = tmp_path / "hub" / "checkpoints"
    place.mkdir(parents=True)
    torch.save({}, place / "resnet18-f37072fd.pth")
    with pytest.raises(RequestError, match="is damaged"):
        resolve_weights(Model(name="resnet18", weights="imagenet"), tmp_path)
