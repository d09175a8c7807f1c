"""Configuration: TOML, environment and flags into frozen dataclasses, each key checked.

Later sources win: default < TOML recipe < environment < flag. A configuration is a frozen
dataclass whose fields are plain values or further such dataclasses ("sections"); every section
belongs to the module that uses it. Unknown keys and values of the wrong type are errors.

A section that may be of several kinds is a union of dataclasses, each with a field `kind` whose
type is a `Literal` of one word; the first of them is the default. The environment spells
`score.n_draws` as `TYPIKA_SCORE__N_DRAWS`.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import tomllib
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from typika.errors import ConfigError
from typika.files import is_text, text_digest

Config = TypeVar("Config")
Values = Mapping[str, Any]

ENVIRONMENT_PREFIX = "TYPIKA_"


def build(kind: type[Config], *sources: Values) -> Config:
    """Make a `kind` from nested mappings, later ones winning.

    Raises:
        ConfigError: a key that `kind` does not have, or a value of the wrong type or range.
    """
    merged: dict[str, Any] = {}
    for source in sources:
        _merge(merged, source)
    return _construct(kind, merged, "")


def read_toml(path: Path) -> dict[str, Any]:
    """Read a recipe. Raises ConfigError where the file is missing or is not TOML."""
    try:
        return _parse_toml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot read the recipe ({error.strerror})") from error
    except ValueError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error


def _parse_toml(text: str) -> dict[str, Any]:
    """Raises ValueError: not TOML, nested too deeply, or a number too long to be written."""
    try:
        values = tomllib.loads(text)
        repr(values)  # 0x and thousands of digits can be read, but not written again
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    return values


def from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    """The settings among environment variables: `TYPIKA_SEED=3` -> `{"seed": 3}`."""
    settings = {
        name.removeprefix(ENVIRONMENT_PREFIX).lower().replace("__", "."): text
        for name, text in environment.items()
        if name.startswith(ENVIRONMENT_PREFIX)
    }
    return from_settings(settings)


def from_settings(settings: Mapping[str, str]) -> dict[str, Any]:
    """Nest settings given as text: `{"score.n_draws": "16"}` -> `{"score": {"n_draws": 16}}`.

    A text that is a TOML value is read as one; any other is taken as a string.
    """
    nested: dict[str, Any] = {}
    for name, text in settings.items():
        *path, last = name.split(".")
        place = nested
        for step in path:
            place = place.setdefault(step, {})
            if not isinstance(place, dict):
                raise ConfigError(f"{name}: {step} is set to a value too, and is no section")
        if not is_text(text):
            raise ConfigError(f"{name}={text!r}: not text in UTF-8; correct it")
        place[last] = _toml_value(text)
    return nested


def parse_setting(text: str) -> tuple[str, str]:
    """Split `key=value`. Raises ConfigError without an equals sign."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise ConfigError(f"--set {text}: expected section.key=value, as in score.n_draws=16")
    return name.strip(), value.strip()


def as_values(config: Any) -> dict[str, Any]:
    """The nested plain values of a configuration."""
    return {
        field.name: as_values(value) if dataclasses.is_dataclass(value) else value
        for field in dataclasses.fields(config)
        for value in [getattr(config, field.name)]
    }


def as_toml(config: Any) -> str:
    """The configuration as TOML that `build` reads back. Fields that are None are left out."""
    values = as_values(config)
    lines = [_toml_line(key, value) for key, value in values.items() if not _is_section(value)]
    for key, section in values.items():
        if _is_section(section):
            lines += ["", f"[{key}]"]
            lines += [_toml_line(name, value) for name, value in section.items()]
    return "\n".join(line for line in lines if line is not None) + "\n"


def digest(value: Any) -> str:
    """A stable digest of a configuration or of plain values, 32 hexadecimal digits."""
    plain = as_values(value) if dataclasses.is_dataclass(value) else value
    return text_digest(json.dumps(plain, sort_keys=True, ensure_ascii=False))


def differences(old: Values, new: Values, prefix: str = "") -> list[str]:
    """One line per key whose value differs between two nested mappings."""
    lines: list[str] = []
    for key in sorted({*old, *new}):
        before, after = old.get(key), new.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            lines += differences(before, after, f"{prefix}{key}.")
        elif json.dumps(before) != json.dumps(after):
            lines.append(f"{prefix}{key}: {before!r} there, {after!r} now")
    return lines


def _merge(target: dict[str, Any], source: Values) -> None:
    for key, value in source.items():
        if isinstance(value, Mapping) and isinstance(target.get(key), dict):
            _merge(target[key], value)
        elif isinstance(value, Mapping):
            target[key] = {}
            _merge(target[key], value)
        else:
            target[key] = value


def _construct(kind: type[Config], values: Values, prefix: str) -> Config:
    hints = typing.get_type_hints(kind)
    names = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for key in values:
        if key not in names:
            raise ConfigError(f"{prefix}{key}: unknown setting{_suggest(key, names)}")
    arguments = {
        key: _convert(value, hints[key], f"{prefix}{key}") for key, value in values.items()
    }
    return kind(**arguments)


def _suggest(key: str, names: set[str]) -> str:
    close = difflib.get_close_matches(key, names, n=1)
    return f"; did you mean {close[0]}?" if close else f"; known: {', '.join(sorted(names))}"


def _convert(value: Any, kind: Any, name: str) -> Any:
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, Mapping):
            raise ConfigError(f"{name}={value!r}: this is a section; set {name}.KEY instead")
        return _construct(typing.cast(type, kind), value, f"{name}.")
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return _convert_optional(value, arguments, name)
    if origin is typing.Literal:
        if value not in arguments:
            raise ConfigError(
                f"{name}={value!r}: expected one of {', '.join(map(str, arguments))}"
            )
        return value
    if origin is tuple:
        return _convert_tuple(value, arguments, name)
    return _convert_plain(value, kind, name)


def _convert_optional(value: Any, arguments: tuple[Any, ...], name: str) -> Any:
    if dataclasses.is_dataclass(arguments[0]):
        return _convert(value, _section_kind(value, arguments, name), name)
    if value is None:
        return None
    (kind,) = (argument for argument in arguments if argument is not type(None))
    return _convert(value, kind, name)


def _section_kind(value: Any, kinds: tuple[Any, ...], name: str) -> Any:
    """Which dataclass of a union a section is, by its `kind`."""
    known = {typing.get_args(typing.get_type_hints(kind)["kind"])[0]: kind for kind in kinds}
    chosen = value.get("kind", next(iter(known))) if isinstance(value, Mapping) else None
    if isinstance(value, Mapping) and not (isinstance(chosen, str) and chosen in known):
        raise ConfigError(f"{name}.kind={chosen!r}: expected one of {', '.join(known)}")
    return known.get(chosen, kinds[0]) if isinstance(chosen, str) else kinds[0]


def _convert_tuple(value: Any, arguments: tuple[Any, ...], name: str) -> tuple:
    if not isinstance(value, list | tuple):
        raise ConfigError(f"{name}={value!r}: expected a list")
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        arguments = (arguments[0],) * len(value)
    if len(value) != len(arguments):
        raise ConfigError(f"{name}={value!r}: expected {len(arguments)} values")
    return tuple(_convert(item, kind, name) for item, kind in zip(value, arguments, strict=True))


def _convert_plain(value: Any, kind: Any, name: str) -> Any:
    if kind is str and isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)  # `--set collection.bin=25`: a number where a word may stand
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not kind:
        raise ConfigError(
            f"{name}={value!r}: expected {kind.__name__}, got {type(value).__name__}"
        )
    return value


def _toml_value(text: str) -> Any:
    try:
        return _parse_toml(f"value = {text}")["value"]
    except ValueError:
        return text


def _is_section(value: Any) -> bool:
    return isinstance(value, dict)


def _toml_line(key: str, value: Any) -> str | None:
    return None if value is None else f"{key} = {_toml_text(value)}"


def _toml_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # JSON strings are TOML basic strings, but for DEL, which TOML wants escaped.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_toml_text, value))}]"
    return repr(value)
