"""On real photographs, where there are some (TRAINERS_DATA): what was learnt from ImageNet tells cats from dogs."""

from running import summary_of


def test_the_last_layer_of_a_pretrained_network_is_enough(real_data, call, tmp_path):
    call(
        *("--data.source", "dogs-vs-cats", "--data.path", real_data / "dogs-vs-cats.zip", "--data.image-size", "128"),
        *("--model.name", "squeezenet1_0", "--model.train", "head", "--training.epochs", "2"),
        *("--model.weights", real_data / "weights" / "squeezenet1_0-imagenet-deepcompression.pth"),
        *("--scale.workers", "0", "--summary", "summary.json"),
    )
    assert summary_of(tmp_path / "summary.json")["metrics"]["test"]["accuracy"] >= 0.92
