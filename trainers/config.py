"""Reads an experiment: YAML file < one of its presets < environment < flags, checked against the schema.

A file's presets are experiments that differ from it in some options:

    presets:
      deep:
        about: a deeper network        # optional
        model: {hidden: [512, 512]}    # options as in the file; a list replaces the file's

Every mistake is told in one line: the key, what is wrong with it, where it was written, the nearest known key.
"""

import argparse
import copy
import difflib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, CliSettingsSource, SettingsConfigDict, SettingsError

from trainers.errors import RequestError
from trainers.experiment import Experiment

ENV_PREFIX = "TRAINERS__"
ENV_DELIMITER = "__"
PRESETS, ABOUT = "presets", "about"  # keys of a file that are no options

Tree = dict[str, Any]


class _Readable(Experiment, BaseSettings):
    """The schema as pydantic-settings reads it from flags; never handed out."""

    model_config = SettingsConfigDict(
        cli_parse_none_str="null", cli_kebab_case=True, cli_hide_none_type=True, cli_avoid_json=True
    )


class _Preset(NamedTuple):
    about: str
    options: Tree


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


_OPTIONS = frozenset(option_names())


def parse(parser: Parser, argv: Sequence[str]) -> tuple[argparse.Namespace, Tree]:
    """Parses a command line to the parser's own arguments and the experiment's options that it sets.

    `--data.image-size 64`, `--data.image-size=64` and `--data.image_size 64` mean the same; so do
    `--model.hidden 32,16`, `--model.hidden '[32, 16]'` and `--model.hidden 32 --model.hidden 16`.
    """
    return _parse(parser, argv, "command line")


def load(config: Path | None, flags: Tree, preset: str | None = None) -> Experiment:
    """Merges YAML file, preset, environment and flags (each wins over the one before) to an experiment.

    All presets of the file are checked, not only the one that is used.

    Raises RequestError: with one line per mistake.
    """
    tree = read_yaml(config) if config is not None else {}
    presets = _take_presets(tree, str(config))
    layers = {"command line": flags, "environment": _environment()}
    if preset is not None:
        layers[f"{config}, preset {preset}"] = _choose(preset, presets, config).options
    layers[str(config)] = tree
    merged: Tree = {}
    for layer in reversed(layers.values()):
        _merge(merged, layer)
    try:
        return Experiment.model_validate(merged)
    except ValidationError as error:
        raise RequestError("\n".join(_explain(error.errors(), layers))) from None


def change(experiment: Experiment, options: Mapping[str, Any], where: str) -> Experiment:
    """The experiment with other values of some options, by their dotted paths, which `where` names.

    Raises RequestError: there is no such option, or the experiment would not be valid.
    """
    known = list(option_names())
    patch: Tree = {}
    for path, value in options.items():
        if path not in known:
            raise RequestError(_unknown(path, known, where))
        *sections, key = path.split(".")
        node = patch
        for section in sections:
            node = node.setdefault(section, {})
        node[key] = value
    tree = experiment.model_dump()
    _merge(tree, patch)
    try:
        return Experiment.model_validate(tree)
    except ValidationError as error:
        raise RequestError("\n".join(_explain(error.errors(), {where: patch}))) from None


def presets(path: Path) -> dict[str, str]:
    """Names and descriptions (perhaps empty) of a file's presets, in its order.

    Raises RequestError: the file cannot be read, or a preset has a mistake.
    """
    return {name: preset.about for name, preset in _take_presets(read_yaml(path), str(path)).items()}


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
    """An experiment's tree as one level of dotted paths; an option whose value is a mapping stays one."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        path = f"{prefix}{key}"
        if isinstance(value, Mapping) and path not in _OPTIONS:
            flat |= flatten(value, f"{path}.")
        else:
            flat[path] = value
    return flat


def _parse(parser: Parser, argv: Sequence[str], where: str) -> tuple[argparse.Namespace, Tree]:
    source = CliSettingsSource[Any](_Readable, root_parser=parser, cli_parse_args=None, cli_exit_on_error=False)
    known, unknown = parser.parse_known_args(
        [_kebab(argument) if argument.startswith("--") else argument for argument in argv]
    )
    if unknown:
        flags = [argument for argument in unknown if argument.startswith("-")] or unknown
        options = [f"--{_kebab(name)}" for name in option_names()]
        own = [option for action in parser._actions for option in action.option_strings if "." not in option]
        raise RequestError("\n".join(_unknown(flag.split("=")[0], options + own, where) for flag in flags))
    try:
        source(parsed_args=known)
    except SettingsError as error:  # "Parsing error encountered for OPTION: CAUSE", of lists and mappings
        option = str(error).partition(":")[0].split()[-1]
        raise RequestError(
            f"{option}: cannot be read ({where}); a list is written 3,2,1 or [3, 2, 1], "
            'a mapping {"model.name": {"grid": ["mlp", "cnn"]}}'
        ) from None
    return known, source()


def _environment() -> Tree:
    """The options that the environment sets; their values are written as those of flags are."""
    variables = {ENV_PREFIX + name.replace(".", ENV_DELIMITER).upper(): name for name in option_names()}
    given = [name for name in os.environ if name.startswith(ENV_PREFIX)]
    wrong = [name for name in given if name not in variables]
    if wrong:
        raise RequestError("\n".join(_unknown(name, sorted(variables), "environment") for name in wrong))
    if not given:
        return {}
    return _parse(Parser(), [f"--{variables[name]}={os.environ[name]}" for name in given], "environment")[1]


def _take_presets(tree: Tree, file: str) -> dict[str, _Preset]:
    """Takes the presets out of a file's tree; each is checked by itself, so rules between options are not."""
    written = tree.pop(PRESETS, None) or {}
    if not isinstance(written, Mapping):
        raise RequestError(
            f"{PRESETS}: is a mapping, `{PRESETS}: {{name: {{option: value}}}}`, not {written!r} ({file})"
        )
    taken: dict[str, _Preset] = {}
    mistakes: list[str] = []
    for name, options in written.items():
        path = f"{PRESETS}.{name}"
        if not isinstance(options, dict):
            mistakes.append(f"{path}: is a section, `{name}: {{option: value}}`, not {options!r} ({file})")
            continue
        about = options.pop(ABOUT, "")
        if not isinstance(about, str):
            mistakes.append(f"{path}.{ABOUT}: input should be a line of text, not {about!r} ({file})")
        try:
            Experiment.model_validate(options)
        except ValidationError as error:
            found = [mistake for mistake in error.errors() if mistake["type"] != "value_error"]
            mistakes += [f"{path}.{line}" for line in _explain(found, {file: options})]
        taken[str(name)] = _Preset(str(about).strip(), options)
    if mistakes:
        raise RequestError("\n".join(mistakes))
    return taken


def _choose(name: str, known: Mapping[str, _Preset], file: Path | None) -> _Preset:
    if not known:
        raise RequestError(f"--preset: {file or 'an experiment without a file'} has no presets")
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise RequestError(f"--preset: no preset `{name}` in {file}; there are {', '.join(known)}{hint}")
    return known[name]


def _merge(base: Tree, layer: Mapping[str, Any], prefix: str = "") -> None:
    for key, value in layer.items():
        path = f"{prefix}{key}"
        if isinstance(value, Mapping) and isinstance(base.get(key), dict) and path not in _OPTIONS:
            _merge(base[key], value, f"{path}.")
        else:
            base[key] = copy.deepcopy(value)


def _kebab(name: str) -> str:
    """A flag as the schema's flags are written; its value, if it is joined by `=`, is left alone."""
    flag, equals, value = name.partition("=")
    return flag.replace("_", "-") + equals + value


def _last(name: str) -> str:
    return name.lstrip("-").split(".")[-1]


def _explain(mistakes: Iterable[ErrorDetails], layers: Mapping[str, Tree]) -> Iterator[str]:
    for mistake in mistakes:
        path = ".".join(str(part) for part in mistake["loc"])
        if mistake["type"] == "extra_forbidden":
            known = list(option_names()) if "." in path else [*Experiment.model_fields, PRESETS]
            yield _unknown(path, known, _where(mistake["loc"], layers))
        elif mistake["type"] in ("model_type", "dict_type"):
            where = _where(mistake["loc"], layers)
            yield f"{path}: is a section, `{path}: {{option: value}}`, not {mistake['input']!r} ({where})"
        elif mistake["type"] == "unknown_name":
            yield f"{path}: {mistake['msg']} ({_where(mistake['loc'], layers)})"
        elif mistake["type"] == "value_error":  # a rule between options: its text begins with the key
            yield f"{path}.{mistake['ctx']['error']}" if path else str(mistake["ctx"]["error"])
        else:
            allowed = mistake["msg"][0].lower() + mistake["msg"][1:]
            yield f"{path}: {allowed}, not {mistake['input']!r} ({_where(mistake['loc'], layers)})"


def _where(location: Sequence[Any], layers: Mapping[str, Tree]) -> str:
    """The layer that set an option, or what it is an element of: the first, as they are ordered by who wins."""
    return next((name for name, layer in layers.items() if _sets(layer, location)), "default")


def _sets(layer: Tree, location: Sequence[Any]) -> bool:
    node: Any = layer
    for key in location:
        if not isinstance(node, Mapping):
            return True
        if key not in node:
            return False
        node = node[key]
    return True


def _unknown(name: str, known: Sequence[str], where: str) -> str:
    last = _last(name)  # perhaps only the section was left out or wrong
    near = [other for other in known if _last(other) == last][:1] or difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]}?" if near else "; --help lists the options"
    return f"{name}: no such option ({where}){hint}"
