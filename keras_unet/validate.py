"""What was read from disk, checked against the type that it should have.

By msgspec, which loads in 10 ms. It passes over keys that a dataclass does not have and
does not tell what may be chosen from; these two are done here.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

import msgspec

_T = TypeVar("_T")


def read_json(file: Path, kind: type[_T]) -> _T:
    """Returns what a JSON file holds.

    Args:
        file: in UTF-8.
        kind: as for ``as_type``.

    Raises:
        ValueError: names the file, the key, what was expected and what was found.
    """
    try:
        values = json.loads(file.read_text("utf-8"))
    except RecursionError:
        raise ValueError(f"{file}: is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"{file}: is no JSON ({error})") from None
    try:
        return as_type(values, kind)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None


def as_type(values: Any, kind: type[_T]) -> _T:
    """Returns what JSON can hold as a dataclass, or a collection of them.

    Args:
        values: dictionaries, lists, texts, numbers.
        kind: what is wanted; texts are turned into its paths, lists into its tuples.

    Raises:
        ValueError: names the key, what was expected and what was found.
    """
    unknown = next(_unknown(values, kind, ""), None)
    if unknown:
        raise ValueError(f"{unknown}: is unknown here")
    try:
        return msgspec.convert(values, kind, dec_hook=_path)
    except msgspec.ValidationError as error:
        raise ValueError(_message(str(error), kind)) from None


def _unknown(values: Any, kind: Any, at: str) -> Iterator[str]:
    if isinstance(values, dict) and is_dataclass(kind):
        hints = _hints(kind)
        for key, value in values.items():
            if key in hints:
                yield from _unknown(value, hints[key], f"{at}{key}.")
            else:
                yield f"{at}{key}"
    elif isinstance(values, list) and any(map(is_dataclass, get_args(kind))):
        for place, value in enumerate(values):
            yield from _unknown(value, get_args(kind)[0], f"{at[:-1]}[{place}].")


_hints: Callable[[Any], dict[str, Any]] = functools.cache(get_type_hints)


def _path(kind: Any, value: Any) -> Any:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise ValueError(f"Expected `str`, got `{type(value).__name__}`")


def _message(text: str, kind: Any) -> str:
    """Returns what msgspec says with the key in front."""
    what, _, place = text.partition(" - at `$")
    key = place.strip("`.")
    value = what.removeprefix("Invalid enum value ")
    if value != what:
        choices = ", ".join(map(str, get_args(_kind_at(key, kind))))
        what = f"expected one of {choices}, found {value}"
    what = re.sub("^Expected ", "expected ", what).replace(", got ", ", found ")
    return f"{key}: {what.replace('`', '')}" if key else what.replace("`", "")


def _kind_at(key: str, kind: Any) -> Any:
    """Returns the type at a key such as ``records[3].file``."""
    for name in re.findall(r"[^.\[\]]+", key):
        kind = _hints(kind)[name] if is_dataclass(kind) else get_args(kind)[0]
    return kind
