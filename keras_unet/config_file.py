"""A config as JSON text and back, and what sets two of them apart."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

from keras_unet.config import Config

_T = TypeVar("_T")


def to_json(config: Config) -> str:
    """Returns the config as JSON text that ``from_json`` reads back to an equal one."""
    return json.dumps(dataclasses.asdict(config), indent=2, default=str) + "\n"


def from_json(text: str) -> Config:
    """Returns the config that ``to_json`` wrote.

    Raises:
        ValueError: the text is no config, or one of another version with other fields.
    """
    values = json.loads(text)
    if not isinstance(values, dict):
        raise ValueError(f"expected a JSON object, found {type(values).__name__}")
    return _build(Config, values)


def differences(old: Any, new: Any) -> list[tuple[str, Any, Any]]:
    """Returns (name, old value, new value) of each field that differs, all levels."""
    found = []
    for field_ in dataclasses.fields(old):
        was, now = getattr(old, field_.name), getattr(new, field_.name)
        if dataclasses.is_dataclass(was):
            found += differences(was, now)
        elif was != now:
            found.append((field_.name, was, now))
    return found


def _build(cls: type[_T], values: dict[str, Any]) -> _T:
    types = get_type_hints(cls)
    unknown = sorted(values.keys() - types.keys())
    if unknown:
        raise ValueError(f"{cls.__name__} has no field {', '.join(unknown)}")
    return cls(**{name: _restore(types[name], value) for name, value in values.items()})


def _restore(kind: Any, value: Any) -> Any:
    """Returns what JSON made of a field, in the field's own type again."""
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return _build(kind, value)
    if isinstance(value, list):
        return tuple(value)
    if isinstance(value, str) and Path in get_args(kind):
        return Path(value)
    return value
