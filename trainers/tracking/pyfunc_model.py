"""A registered model as MLflow loads it ("models from code"): this file is copied beside the weights.

It needs the installed package `trainers`, which is on no public index and is therefore not among the model's
requirements. Input: a DataFrame with one column: `path` (image files that this machine can read) or `bytes` (whole
image files); `values` (lists of numbers) for a model of vectors; `seed` (whole numbers) for a GAN. Output: one row per
input with the columns of the model's signature, and `error`: why the input cannot be read, else None. A classifier's
`probabilities` are in the order of the model version's tag `classes`.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd  # type: ignore[import-untyped]
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext

_ROWS = 256  # decoded at a time, which bounds the memory


class TrainedModel(PythonModel):
    """Answers with one of `trainers.tasks.predictor`."""

    def load_context(self, context: PythonModelContext) -> None:
        """Loads the network."""
        from trainers.tasks import load_predictor

        self.predictor = load_predictor(Path(context.artifacts["model.json"]).parent)

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """One row per input, in the order and with the index of the input.

        Raises ValueError: the input has not exactly one of the columns that the model takes.
        """
        from trainers.tracking.signature import answers, takes

        known = takes(self.predictor.description)
        columns = [name for name in known if name in model_input]
        if len(columns) != 1:
            # A plain list has no column names; MLflow drops what the signature does not name.
            names = " and ".join(f'"{name}"' for name in known)
            one = "one of the columns" if len(known) > 1 else "the column"
            raise ValueError(f"give a DataFrame with exactly {one} {names}")
        inputs = model_input[columns[0]].tolist()
        kinds = answers(self.predictor.description)
        nothing = dict.fromkeys(kinds)
        rows = [
            nothing | _row(found)
            for start in range(0, len(inputs), _ROWS)
            for found in self.predictor.predict(inputs[start : start + _ROWS])
        ]
        frame = pd.DataFrame(rows, columns=list(kinds), dtype=object)
        # Objects, since pandas would turn the None of its own text type into NaN.
        numbers = {name: float for name, kind in kinds.items() if kind == "double"}
        return frame.set_index(model_input.index).astype(numbers)


def _row(found: Any) -> dict[str, Any]:
    if isinstance(found, Exception):
        return {"error": str(found)}
    return {**asdict(found), "error": None}


set_model(TrainedModel())
