"""The shape of the house: its rooms, which way imports run, who knows Ray and who MLflow, what it stands on."""

import ast
import re
import subprocess
import sys
import tomllib
from collections import Counter
from graphlib import CycleError, TopologicalSorter
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "trainers"

# What a room may import of the others, from the top of the house down; the ground below them, all may use.
MAY_IMPORT = {
    "cli": {"sweeps", "runs", "remote", "trained", "doctor", "tracking"},
    "sweeps": {"runs", "trained", "cluster", "engine", "tasks", "models", "data", "tracking", "reports", "search"},
    "doctor": {"remote", "cluster", "engine", "tracking"},
    "remote": set(),
    "runs": {"trained", "cluster", "engine", "tasks", "models", "data", "tracking", "reports"},
    "trained": {"cluster", "engine", "tasks", "models", "data", "tracking", "reports"},
    "cluster": {"engine", "data", "search"},
    "tracking": {"tasks"},
    "engine": {"tasks", "models", "data"},
    "tasks": {"models", "data"},
    "models": {"data"},
    "data": set(),
    "reports": set(),
    "search": set(),
}
GROUND = {
    "catalogue", "config", "display", "errors", "events", "experiment", "garbage", "origin", "storage", "summary"
}  # fmt: skip
ONLY_IN = {"ray": "cluster", "mlflow": "tracking"}


class Import(NamedTuple):
    """An import statement, also one inside a function.

    Attributes:
        file: that has it, such as `runs/train.py`.
        module: that it names, with what it takes of that: `trainers.runs.folder.RunFolder`.
    """

    file: str
    module: str

    @property
    def room(self) -> str:
        return self.file.split("/")[0].removesuffix(".py")


def imports() -> list[Import]:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            if isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{name}" for name in names]
            found += [Import(path.relative_to(PACKAGE).as_posix(), name) for name in names]
    return found


IMPORTS = imports()


def file_of(module: str) -> str | None:
    """The file of the package that an imported name stands in; None if it is not of the package."""
    parts = module.split(".")
    if parts[0] != "trainers":
        return None
    for length in range(len(parts), 0, -1):
        below = Path(*parts[1:length])
        for path in (below / "__init__.py", below.with_suffix(".py") if below.name else below / "__init__.py"):
            if (PACKAGE / path).is_file():
                return path.as_posix()
    raise AssertionError(f"{module} is nowhere")


@pytest.mark.parametrize(("package", "home"), ONLY_IN.items())
def test_only_one_room_imports(package, home):
    strangers = [one.file for one in IMPORTS if one.module.split(".")[0] == package and one.room != home]
    assert strangers == []


def test_imports_run_downwards():
    wrong = []
    for one in IMPORTS:
        names = one.module.split(".")
        if one.room == "__init__" or names[0] != "trainers" or set(names[1:2]) <= {one.room, "__version__", *GROUND}:
            continue
        if names[1] not in MAY_IMPORT.get(one.room, set()):
            wrong.append(f"{one.file} imports {one.module}")
    assert wrong == []


def test_no_two_rooms_import_each_other():
    assert list(TopologicalSorter(MAY_IMPORT).static_order())


def test_no_files_import_each_other():
    """Not even by way of others, inside functions, or for annotations."""
    graph: dict[str, set[str]] = {}
    for one in IMPORTS:
        target = file_of(one.module)
        if target not in (None, one.file):
            graph.setdefault(one.file, set()).add(target)
    try:
        assert list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"a circle: {' → '.join(reversed(error.args[1]))}")


def test_every_room_has_its_place():
    rooms = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert rooms - {"__init__"} == GROUND | set(MAY_IMPORT)


def test_no_two_classes_share_a_name():
    files = [path.read_text() for path in PACKAGE.rglob("*.py")]
    names = Counter(node.name for text in files for node in ast.parse(text).body if isinstance(node, ast.ClassDef))
    assert [name for name, count in names.items() if count > 1] == []


def test_nothing_private_of_ray_or_mlflow_is_used():
    private = [
        f"{one.file} imports {one.module}"
        for one in IMPORTS
        if one.module.split(".")[0] in ONLY_IN and any(part.startswith("_") for part in one.module.split("."))
    ]
    assert private == []


def test_every_import_is_a_declared_dependency():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {re.split(r"[\[<>=]", one)[0].lower().replace("_", "-") for one in project["dependencies"]}
    distributions = packages_distributions()
    used = {one.module.split(".")[0] for one in IMPORTS} - set(sys.stdlib_module_names) - {"trainers"}
    missing = [name for name in used if not {dist.lower().replace("_", "-") for dist in distributions[name]} & declared]
    assert missing == []


def test_the_engine_runs_without_ray_and_mlflow():
    code = "import sys, trainers.engine; sys.exit(bool({'ray', 'mlflow'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_wrong_flag_is_told_before_anything_heavy_is_imported():
    code = (
        "import sys; from trainers.cli import run; code = run('jobs/catsdogs.py', ['--sed', '1']); "
        "sys.exit(code * 10 + bool({'torch', 'ray', 'mlflow', 'matplotlib'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 20
