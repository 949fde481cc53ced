"""What the person who runs the tests has set up for other work."""

from collections.abc import Mapping

# Where jobs would go and what they would use; and how lines look.
NAMES = (
    *("TRAINERS__", "TRAINERS_CLUSTER_", "TRAINERS_SENT_", "MLFLOW_", "RAY_", "AWS_", "HELM_", "KIND_", "COMPOSE_"),
    *("FORCE_COLOR", "NO_COLOR", "TTY_", "COLUMNS", "LINES"),
)


def without_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment in which nothing of it is left."""
    return {name: value for name, value in environment.items() if not name.startswith(NAMES)}
