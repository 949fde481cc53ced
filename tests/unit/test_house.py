"""The shape of the house: imports run one way, and only one room knows Ray, one MLflow."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "trainers"

# What a part of the house may import of the others; the parts without a line are the ground, which all may use.
MAY_IMPORT = {
    "cli": {"sweeps", "doctor", "remote", "runs", "trained", "tracking"},
    "sweeps": {"runs", "trained", "cluster", "engine", "tasks", "models", "data", "tracking", "reports", "search"},
    "doctor": {"remote", "cluster", "engine", "tracking"},
    "remote": set(),
    "runs": {"trained", "cluster", "engine", "tasks", "models", "data", "tracking", "reports"},
    "trained": {"cluster", "engine", "tasks", "models", "data", "tracking", "reports"},
    "cluster": {"engine", "data", "tracking", "search"},
    "tracking": {"tasks"},
    "engine": {"tasks", "models", "data"},
    "tasks": {"models", "data"},
    "models": {"data"},
    "data": set(),
    "reports": set(),
    "search": set(),
}
GROUND = {"catalogue", "experiment", "config", "errors", "events", "origin", "summary", "display", "garbage", "storage"}
ONLY_IN = {"ray": "cluster", "mlflow": "tracking"}


def imports() -> list[tuple[str, str, str]]:
    """(part, file, imported module) of every import statement, those inside functions too."""
    found = []
    for file in sorted(PACKAGE.rglob("*.py")):
        part = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(file.read_text())):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                modules = (
                    [f"{node.module}.{alias.name}" for alias in node.names]
                    if node.module == "trainers"
                    else [node.module]
                )
            found += [(part, str(file.relative_to(PACKAGE)), module) for module in modules]
    return found


@pytest.mark.parametrize(("package", "home"), ONLY_IN.items())
def test_only_one_part_imports(package, home):
    strangers = [file for part, file, module in imports() if module.split(".")[0] == package and part != home]
    assert strangers == []


def test_imports_run_downwards():
    wrong = []
    for part, file, module in imports():
        names = module.split(".")
        if (
            part == "__init__"
            or names[0] != "trainers"
            or names[1:] == []
            or names[1] in (part, "__version__", *GROUND)
        ):
            continue
        if names[1] not in MAY_IMPORT.get(part, set()):
            wrong.append(f"{file} imports {module}")
    assert wrong == []


def test_every_part_has_its_place():
    parts = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert parts - {"__init__"} == GROUND | set(MAY_IMPORT)


def test_the_engine_runs_without_ray_and_mlflow():
    code = "import sys, trainers.engine; sys.exit(bool({'ray', 'mlflow'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_a_wrong_flag_is_told_before_anything_heavy_is_imported():
    code = (
        "import sys; from trainers.cli import run; code = run('jobs/catsdogs.py', ['--sed', '1']); "
        "sys.exit(code * 10 + bool({'torch', 'ray', 'mlflow', 'matplotlib'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 20
