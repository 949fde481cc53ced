"""Weights are found, checked and loaded; nothing is executed on the way."""

import io
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from trainers.errors import RequestError
from trainers.experiment import Model
from trainers.models import build, resolve_weights
from trainers.models.simple_cnn import SimpleCNN

IMAGE = (3, 32, 32)


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
        built = build(options, IMAGE, 2, resolve_weights(options, tmp_path))
        assert built.missing == ()
        assert all(torch.equal(a, b) for a, b in zip(built.module.parameters(), network.parameters(), strict=True))


def test_a_last_layer_for_other_classes_starts_fresh(tmp_path):
    options = Model(weights=saved(tmp_path, SimpleCNN(10).state_dict()))
    built = build(options, IMAGE, 2, resolve_weights(options, tmp_path))
    assert built.missing == ("classifier.6.weight", "classifier.6.bias")


def test_weights_that_lack_a_layer_need_permission_and_are_listed(tmp_path):
    state = SimpleCNN(2).state_dict()
    del state["features.3.weight"]
    file = saved(tmp_path, state)
    with pytest.raises(RequestError, match=r"lacks features\.3\.weight; --model\.partial=true allows it"):
        build(Model(weights=file), IMAGE, 2, resolve_weights(Model(weights=file), tmp_path))
    options = Model(weights=file, partial=True)
    assert build(options, IMAGE, 2, resolve_weights(options, tmp_path)).missing == ("features.3.weight",)


def test_weights_of_another_network_are_refused_even_in_part(tmp_path):
    file = saved(tmp_path, {"stem.weight": torch.zeros(3)})
    options = Model(weights=file, partial=True)
    with pytest.raises(RequestError, match="has no layer of this network"):
        build(options, IMAGE, 2, resolve_weights(options, tmp_path))


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


@pytest.mark.parametrize("name", ["simple_cnn", "cifar_resnet20", "dcgan"])
def test_there_are_no_imagenet_weights_of_this_librarys_networks(tmp_path, name):
    with pytest.raises(RequestError, match=rf"model\.weights: there are no ImageNet weights of {name}"):
        resolve_weights(Model(name=name, weights="imagenet"), tmp_path)


def test_imagenet_weights_of_an_unknown_network_are_refused_with_the_nearest_names(tmp_path):
    with pytest.raises(RequestError, match=r"model\.name: no network `resnet19`; did you mean .*resnet18"):
        resolve_weights(Model(name="resnet19", weights="imagenet"), tmp_path)


def test_a_network_of_a_single_layer_can_be_given_weights():
    first, second = build(Model(name="linear"), (4,), 2), build(Model(name="linear"), (4,), 3)
    again = build(Model(name="linear"), (4,), 2, first.module.state_dict())
    assert again.missing == ()
    assert torch.equal(again.module.linear1.weight, first.module.linear1.weight)
    with pytest.raises(RequestError, match="has no layer of this network"):
        build(Model(name="linear"), (4,), 2, second.module.state_dict())


def test_the_cifar_resnet_takes_the_published_weights_and_is_as_good_as_published(real_data, tmp_path):
    file = real_data / "weights" / "cifar10-resnet20-12fca82f.th"
    options = Model(name="cifar_resnet20", weights=str(file))
    built = build(options, IMAGE, 10, resolve_weights(options, tmp_path))
    assert built.missing == ()
    images, labels = cifar_test_images(real_data / "cifar10.zip")
    with torch.inference_mode():
        hits = built.module.eval()(images).argmax(dim=1) == labels
    assert hits.float().mean() > 0.85  # of all 3,000 images: 91.4 %


def cifar_test_images(archive):
    """300 test images over all classes, normalised as for ImageNet, and their classes."""
    with zipfile.ZipFile(archive) as file:
        names = sorted(name for name in file.namelist() if name.startswith("test/") and name.endswith(".png"))[::10]
        pixels = np.stack([np.asarray(Image.open(io.BytesIO(file.read(name)))) for name in names])
    folders = [name.split("/")[1] for name in names]
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    images = ((torch.from_numpy(pixels) / 255 - mean) / deviation).permute(0, 3, 1, 2)
    return images, torch.tensor([sorted(set(folders)).index(folder) for folder in folders])
