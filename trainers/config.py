"""Reads an experiment: YAML file < environment < flags, checked against the schema.

Every mistake is told in one line: the key, what is wrong with it, where it was written, the nearest known key.
"""

import argparse
import copy
import difflib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_settings import BaseSettings, CliSettingsSource, EnvSettingsSource, SettingsConfigDict

from trainers.errors import RequestError
from trainers.experiment import Experiment

ENV_PREFIX = "TRAINERS__"
ENV_DELIMITER = "__"

Tree = dict[str, Any]


class _Readable(Experiment, BaseSettings):
    """The schema as pydantic-settings reads it from flags and environment; never handed out."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_nested_delimiter=ENV_DELIMITER,
        env_parse_none_str="null",
        cli_parse_none_str="null",
        cli_kebab_case=True,
        cli_hide_none_type=True,
        cli_avoid_json=True,
    )


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are RequestErrors."""

    def error(self, message: str) -> NoReturn:
        raise RequestError(f"{message} (see --help)")


def option_names(model: type[BaseModel] = Experiment, prefix: str = "") -> Iterator[str]:
    """Every option of the schema by its dotted path, such as `data.image_size`."""
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from option_names(inner, f"{prefix}{name}.")
        else:
            yield prefix + name


def parse(parser: Parser, argv: Sequence[str]) -> tuple[argparse.Namespace, Tree]:
    """Parses a command line to the parser's own arguments and the experiment's options that it sets.

    `--data.image-size 64`, `--data.image-size=64` and `--data.image_size 64` mean the same.
    """
    source = CliSettingsSource[Any](_Readable, root_parser=parser, cli_parse_args=None, cli_exit_on_error=False)
    known, unknown = parser.parse_known_args(
        [_kebab(argument) if argument.startswith("--") else argument for argument in argv]
    )
    if unknown:
        flags = [argument for argument in unknown if argument.startswith("-")] or unknown
        options = [f"--{_kebab(name)}" for name in option_names()]
        own = [option for action in parser._actions for option in action.option_strings if "." not in option]
        raise RequestError("\n".join(_unknown(flag.split("=")[0], options + own, "command line") for flag in flags))
    source(parsed_args=known)
    return known, source()


def load(config: Path | None, flags: Tree) -> Experiment:
    """Merges the YAML file, the environment and the flags (each wins over the one before) to an experiment.

    Raises:
        RequestError: with one line per mistake.
    """
    layers = {"command line": flags, "environment": _environment()}
    if config is not None:
        layers[str(config)] = read_yaml(config)
    merged: Tree = {}
    for layer in reversed(layers.values()):
        _merge(merged, layer)
    try:
        return Experiment.model_validate(merged)
    except ValidationError as error:
        raise RequestError("\n".join(_explain(error, layers))) from None


def read_yaml(path: Path) -> Tree:
    """Reads a YAML mapping; a missing file, a syntax error or another kind of document is a RequestError."""
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f" line {where.line + 1}" if where else ""
        raise RequestError(f"{path}:{line} is not YAML: {getattr(error, 'problem', None) or error}") from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise RequestError(f"{path}: must hold `key: value` lines, not a {type(tree).__name__}")
    return tree


def dump_yaml(experiment: Experiment) -> str:
    """The resolved experiment, every option written out."""
    return yaml.safe_dump(experiment.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested mapping as one level of dotted paths."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _environment() -> Tree:
    known = {ENV_PREFIX + name.replace(".", ENV_DELIMITER).upper() for name in option_names()}
    wrong = [name for name in os.environ if name.startswith(ENV_PREFIX) and name not in known]
    if wrong:
        raise RequestError("\n".join(_unknown(name, sorted(known), "environment") for name in wrong))
    return EnvSettingsSource(_Readable)()


def _merge(base: Tree, layer: Mapping[str, Any]) -> None:
    for key, value in layer.items():
        if isinstance(value, Mapping) and isinstance(base.get(key), dict):
            _merge(base[key], value)
        else:
            base[key] = copy.deepcopy(value)


def _kebab(name: str) -> str:
    """A flag as the schema's flags are written; its value, if it is joined by `=`, is left alone."""
    flag, equals, value = name.partition("=")
    return flag.replace("_", "-") + equals + value


def _last(name: str) -> str:
    return name.lstrip("-").split(".")[-1]


def _explain(error: ValidationError, layers: Mapping[str, Tree]) -> Iterator[str]:
    for mistake in error.errors():
        path = ".".join(str(part) for part in mistake["loc"])
        if mistake["type"] == "extra_forbidden":
            known = list(option_names()) if "." in path else list(Experiment.model_fields)
            yield _unknown(path, known, _where(mistake["loc"], layers))
        elif mistake["type"] in ("model_type", "dict_type"):
            where = _where(mistake["loc"], layers)
            yield f"{path}: is a section, `{path}: {{option: value}}`, not {mistake['input']!r} ({where})"
        elif mistake["type"] == "value_error":  # a rule between options: its text begins with the key
            yield f"{path}.{mistake['ctx']['error']}" if path else str(mistake["ctx"]["error"])
        else:
            allowed = mistake["msg"][0].lower() + mistake["msg"][1:]
            yield f"{path}: {allowed}, not {mistake['input']!r} ({_where(mistake['loc'], layers)})"


def _where(location: Sequence[Any], layers: Mapping[str, Tree]) -> str:
    """The layer that set an option: the first, as they are ordered by who wins."""
    for name, layer in layers.items():
        node: Any = layer
        for key in location:
            node = node.get(key) if isinstance(node, Mapping) and key in node else None
        if node is not None:
            return name
    return "default"


def _unknown(name: str, known: Sequence[str], where: str) -> str:
    last = _last(name)  # perhaps only the section was left out or wrong
    near = [other for other in known if _last(other) == last][:1] or difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]}?" if near else "; --help lists the options"
    return f"{name}: no such option ({where}){hint}"
