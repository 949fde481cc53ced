"""What all tests share: where real data lies, and what may not be skipped."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def pytest_configure() -> None:
    # A shell ignores Ctrl-C for what it starts in the background, and so would the jobs that are started here.
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # Tests must not reach for what the person running them has set up.
    for name in list(os.environ):
        if name.startswith(("TRAINERS__", "MLFLOW_", "RAY_", "AWS_")):
            del os.environ[name]


@pytest.fixture(scope="session")
def need() -> Callable[[str, bool, str], None]:
    """Skips a test that lacks something, unless TRAINERS_REQUIRE (names, by commas) says that it must be there."""
    required = os.environ.get("TRAINERS_REQUIRE", "").split(",")

    def need_it(name: str, present: bool, reason: str) -> None:
        if not present and name in required:
            pytest.fail(f"TRAINERS_REQUIRE names {name}, but {reason}")
        if not present:
            pytest.skip(reason)

    return need_it


@pytest.fixture(scope="session")
def real_data(need) -> Path:
    """The folder of real photographs, at TRAINERS_DATA."""
    folder = Path(os.environ.get("TRAINERS_DATA", ROOT.parent / "shared" / "data"))
    need("data", folder.is_dir(), f"there is no real data in {folder} (TRAINERS_DATA)")
    return folder
