"""A registered classifier as MLflow loads it ("models from code"): this file is copied beside the weights.

It needs the installed package `trainers`, which is on no public index and is therefore not among the model's
requirements. Input: a DataFrame with one column, `path` (files that this machine can read) or `bytes` (whole image
files). Output: one row per image with

- `label`: the most probable class, None if the image cannot be read,
- `probability`: of that class,
- `probabilities`: of all classes, in the order of the model version's tag `classes`,
- `error`: why the image cannot be read, else None.
"""

from pathlib import Path
from typing import Any

import pandas as pd  # type: ignore[import-untyped]
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext

_ROWS = 256  # decoded at a time, which bounds the memory


class ImageClassifier(PythonModel):
    """Classifies images with `trainers.tasks.Predictor`."""

    def load_context(self, context: PythonModelContext) -> None:
        """Loads the network."""
        from trainers.tasks.predictor import Predictor

        self.predictor = Predictor.load(Path(context.artifacts["model.json"]).parent)

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """One row per image, in the order and with the index of the input.

        Raises:
            ValueError: the input has not exactly one of the columns `path` and `bytes`.
        """
        columns = [name for name in ("path", "bytes") if name in model_input]
        if len(columns) != 1:
            # A plain list has no column names; MLflow drops what the signature does not name.
            raise ValueError('give a DataFrame with exactly one of the columns "path" and "bytes"')
        images = model_input[columns[0]].tolist()
        rows = [
            _row(found)
            for start in range(0, len(images), _ROWS)
            for found in self.predictor.predict(images[start : start + _ROWS])
        ]
        frame = pd.DataFrame(rows, columns=["label", "probability", "probabilities", "error"], dtype=object)
        # Objects, since pandas would turn the None of its own text type into NaN.
        return frame.set_index(model_input.index).astype({"probability": float})


def _row(found: Any) -> tuple[str | None, float, list[float] | None, str | None]:
    if isinstance(found, Exception):
        return None, float("nan"), None, str(found)
    return found.label, found.probability, found.probabilities, None


set_model(ImageClassifier())
