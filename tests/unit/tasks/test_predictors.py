"""A checkpoint of any task is a trained model: loaded, it answers as the network did when it was evaluated."""

import io
import json
from dataclasses import asdict

import numpy as np
import pytest
import torch
from PIL import Image
from toys import PROBLEMS, make_loop, make_pack, make_problem, train

from trainers.data import Unreadable
from trainers.errors import RequestError
from trainers.tasks import Classifier, Reconstructor, Regressor, Sampler, copy_bundle, load_predictor
from trainers.tracking.signature import answers, takes

CPU = torch.device("cpu")
KINDS = {
    "images": Classifier,
    "vectors": Classifier,
    "regression": Regressor,
    "autoencoding": Reconstructor,
    "adversarial": Sampler,
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Of each problem, a loop after one epoch and the model that it saved."""
    made = {}
    for problem in PROBLEMS:
        loop = make_loop(problem, tmp_path_factory.mktemp(problem), training={"epochs": 1})
        train(loop)
        made[problem] = (loop, load_predictor(loop.store.path(1), CPU))
    return made


def png(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(("problem", "kind"), KINDS.items())
def test_a_checkpoint_of_each_task_is_loaded_as_what_it_is_for(trained, problem, kind):
    loop, predictor = trained[problem]
    assert type(predictor) is kind
    assert not predictor.module.training
    assert predictor.shape == make_problem(problem).shape
    assert predictor.classes == make_problem(problem).classes
    weights = predictor.module.state_dict()
    assert all(torch.equal(weights[name], tensor) for name, tensor in loop.learner.model_state().items())


@pytest.mark.parametrize("problem", ["images", "vectors", "regression", "autoencoding"])
def test_answers_for_arrays_are_those_of_the_evaluation(trained, problem):
    loop, predictor = trained[problem]
    ask = {Classifier: "probabilities", Regressor: "values", Reconstructor: "errors"}[type(predictor)]
    metrics, expected = loop.learner.evaluate(loop.validation, answers=True)
    indices = loop.validation.numpy()
    got = getattr(predictor, ask)(make_problem(problem).inputs[indices])
    np.testing.assert_allclose(got.reshape(expected.shape), expected, atol=1e-6)
    measured, rows = predictor.measure(make_problem(problem), indices)
    np.testing.assert_allclose(rows, expected, atol=1e-6)
    assert measured == pytest.approx({name: metrics[name] for name in measured}, abs=1e-5)


def test_the_model_of_an_averaged_run_has_the_averaged_weights(tmp_path):
    loop = make_loop("vectors", tmp_path, training={"epochs": 1, "ema": 0.9}, optimizer={"lr": 0.5})
    train(loop)
    _, expected = loop.learner.evaluate(loop.validation, answers=True)
    predictor = load_predictor(loop.store.path(1), CPU)
    points = make_problem("vectors").inputs[loop.validation.numpy()]
    np.testing.assert_allclose(predictor.probabilities(points), expected, atol=1e-6)
    raw = loop.learner.module(torch.from_numpy(points)).softmax(dim=1).detach()
    assert not np.allclose(raw, expected, atol=1e-6)


def test_a_classifier_names_the_most_probable_class_with_every_probability(trained):
    _, predictor = trained["images"]
    images = make_pack().inputs[:3]
    expected = predictor.probabilities(images)
    for answer, row in zip(predictor.predict([png(image) for image in images]), expected, strict=True):
        assert answer.label == ("dark", "bright")[row.argmax()]
        assert answer.probability == max(answer.probabilities)
        assert answer.probabilities == pytest.approx(row.tolist())
        assert sum(answer.probabilities) == pytest.approx(1)


def test_log_probabilities_are_turned_into_probabilities(tmp_path):
    loop = make_loop("images", tmp_path, model={"output": "log-softmax"}, training={"epochs": 1, "loss": "nll"})
    train(loop)
    predictor = load_predictor(loop.store.path(1), CPU)
    images = make_pack().inputs[:5]
    assert predictor.probabilities(images).sum(axis=1) == pytest.approx(np.ones(5))
    logs = predictor.map(images, predictor.module)
    np.testing.assert_allclose(np.exp(logs), predictor.probabilities(images), atol=1e-6)


def test_what_cannot_be_read_is_named_and_the_others_are_answered(trained, tmp_path):
    _, predictor = trained["images"]
    (tmp_path / "sound.png").write_bytes(png(make_pack().inputs[0]))
    sound, broken, missing, last = predictor.predict(
        [tmp_path / "sound.png", b"no image", tmp_path / "missing.png", png(make_pack().inputs[0])]
    )
    assert asdict(sound) == asdict(last)
    assert isinstance(broken, Unreadable)
    assert str(broken)
    assert isinstance(missing, Unreadable)
    assert str(missing) == "No such file or directory"
    assert predictor.predict([]) == []


@pytest.mark.parametrize("wrong", [[1.0], [1.0, 2.0, 3.0], [float("nan"), 0.0], ["a", "b"], "text", None, [[1.0, 2.0]]])
def test_what_is_no_vector_of_the_right_length_is_named(trained, wrong):
    _, predictor = trained["vectors"]
    sound, broken = predictor.predict([[0.5, 0.5], wrong])
    assert sound.label in predictor.classes
    assert isinstance(broken, Unreadable)
    assert str(broken) == "not a list of 2 numbers"


def test_a_regressor_gives_numbers(trained):
    _, predictor = trained["regression"]
    first, second = predictor.predict([[0.5], (-0.5,)])
    expected = predictor.values(np.array([[0.5], [-0.5]], np.float32))
    assert first.values + second.values == pytest.approx(expected.ravel().tolist())


def test_an_autoencoder_gives_the_code_and_the_error_and_images_of_the_same_kind(trained):
    _, predictor = trained["autoencoding"]
    images = make_pack().inputs[:2]
    (answer, _), rebuilt = predictor.predict([png(image) for image in images]), predictor.reconstructions(images)
    assert len(answer.latent) == 4
    assert answer.mse == pytest.approx(predictor.errors(images)[0], rel=1e-5)
    assert (rebuilt.dtype, rebuilt.shape) == (np.uint8, images.shape)
    by_pixels = np.square((rebuilt[0] - images[0].astype(float)) / 255).mean()
    assert by_pixels == pytest.approx(answer.mse, rel=0.02)  # what is rounded to bytes


def test_a_sampler_draws_the_same_image_for_the_same_seed(trained):
    _, predictor = trained["adversarial"]
    images = predictor.sample(5, seed=3)
    assert (images.dtype, images.shape) == (np.uint8, (5, 16, 16, 3))
    assert np.array_equal(images, predictor.sample(5, seed=3))
    assert not np.array_equal(images, predictor.sample(5, seed=4))
    first, second, third = predictor.predict([3, 4, 3])
    assert first == third != second
    drawn = Image.open(io.BytesIO(first.image))
    assert (drawn.size, drawn.mode) == ((16, 16), "RGB")
    assert np.array_equal(np.asarray(drawn), predictor.sample(1, seed=3)[0])


def test_features_are_what_the_last_layer_sees_of_networks_that_tell(trained, tmp_path):
    from toys import make_classifier

    images = make_pack().inputs[:3]
    classifier = load_predictor(make_classifier(tmp_path / "classifier"), CPU)
    features = classifier.features(images)
    assert features.shape == (3, 128)
    head = classifier.module.head
    from_features = head(torch.from_numpy(features)).softmax(dim=1).detach()
    np.testing.assert_allclose(from_features, classifier.probabilities(images), atol=1e-6)
    _, simple = trained["images"]
    with pytest.raises(RequestError, match=r"^gan\.classifier: simple_cnn does not give its features; train one with"):
        simple.features(images)


def test_arrays_larger_than_a_batch_are_answered_in_order(trained):
    _, predictor = trained["regression"]
    numbers = np.linspace(-1, 1, 600, dtype=np.float32)[:, None]
    values = predictor.values(numbers)
    assert values.shape == (600, 1)
    assert len(predictor.answer_all(numbers)) == 600
    np.testing.assert_allclose(values[590:], predictor.values(numbers[590:]), atol=1e-6)


@pytest.mark.parametrize("problem", PROBLEMS)
def test_answers_have_the_columns_that_the_signature_of_the_model_says(trained, problem):
    _, predictor = trained[problem]
    given = {"path": png(make_pack().inputs[0]), "values": make_problem(problem).inputs[0], "seed": 7}
    (column, *_) = takes(predictor.description)
    (answer,) = predictor.predict([given[column]])
    assert {*asdict(answer), "error"} == set(answers(predictor.description))
    assert str(answer)


def test_a_copy_without_what_only_training_needs_is_the_same_model(trained, tmp_path):
    loop, predictor = trained["regression"]
    copy = copy_bundle(loop.store.path(1), tmp_path / "copy")
    assert sorted(file.name for file in copy.iterdir()) == ["model.json", "weights.safetensors"]
    numbers = np.array([[0.3]], np.float32)
    assert np.array_equal(load_predictor(copy, CPU).values(numbers), predictor.values(numbers))


def test_a_folder_without_a_model_or_of_another_version_is_refused(trained, tmp_path):
    with pytest.raises(RequestError, match="holds no trained model"):
        load_predictor(tmp_path / "nowhere")
    loop, _ = trained["regression"]
    copy = copy_bundle(loop.store.path(1), tmp_path / "copy")
    description = json.loads((copy / "model.json").read_text())
    (copy / "model.json").write_text(json.dumps(description | {"format": 99}))
    with pytest.raises(RequestError, match="has format 99, this version of trainers reads"):
        load_predictor(copy)
