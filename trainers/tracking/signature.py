"""What a registered model takes and gives, by its task, in MLflow's words."""

from typing import TYPE_CHECKING, Any, get_type_hints

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

IMAGES = {"path": "string", "bytes": "binary"}  # one of the two
VECTORS = {"values": "doubles"}
SEEDS = {"seed": "long"}
EXAMPLES: dict[str, list[Any]] = {"path": ["photo.jpg"], "values": [[0.0]], "seed": [0]}

KINDS = {str: "string", float: "double", list[float]: "doubles", bytes: "binary"}  # of an answer's fields
ERROR = {"error": "string"}  # why an input cannot be read, else None


def takes(description: dict[str, Any]) -> dict[str, str]:
    """The columns of which an input has exactly one, and their types."""
    if description.get("task") == "adversarial":
        return SEEDS
    return IMAGES if len(description.get("shape", ())) == 3 else VECTORS


def answers(description: dict[str, Any]) -> dict[str, str]:
    """The columns of an output, and their types."""
    from trainers.tasks import predictor_class

    fields = get_type_hints(predictor_class(description.get("task", "classification")).answer)
    return {name: KINDS[kind] for name, kind in fields.items()} | ERROR


def signature(description: dict[str, Any]) -> "ModelSignature":
    """Both, as MLflow's signature."""
    from mlflow.models import ModelSignature
    from mlflow.types import Schema

    return ModelSignature(Schema(_columns(takes(description))), Schema(_columns(answers(description))))


def _columns(types: dict[str, str]) -> list[Any]:
    from mlflow.types import ColSpec
    from mlflow.types.schema import Array, DataType

    kinds: dict[str, Any] = {
        "string": DataType.string,
        "binary": DataType.binary,
        "double": DataType.double,
        "long": DataType.long,
        "doubles": Array(DataType.double),
    }
    return [ColSpec(kinds[kind], name, required=len(types) == 1) for name, kind in types.items()]
