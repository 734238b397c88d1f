"""Names of classes, most often from a list that lies beside the masks.

By hand, because each annotation tool writes lines of its own that no library reads.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from keras_unet.data.mask_values import MaskSet, shown
from keras_unet.data_config import IGNORE, DataConfig
from keras_unet.errors import BadData, BadUsage

_STEMS = (
    *("labels", "classes", "label_names", "class_names", "labelmap", "class_dict"),
    "_classes",
)
_SUFFIXES = (".txt", ".csv", ".json")
_FROM_0 = "codes.txt"
_NAME = ("name", "class", "label", "readable", "class_name", "label_name")
_VALUE = (
    *("value", "id", "index", "class_id", "label_id", "labelid"),
    *("pixel_value", "pixel value"),
)
_COLOUR = ("color", "colour", "rgb", "color_rgb", "hex")
_IGNORED = ("ignoreineval", "ignore", "void")
_NOTHING = ("__ignore__", "ignore", "void")
_NO_LINE = "__ignore__"
"""What stands first in labelme's lists, for value −1."""
BACKGROUND = ("background", "_background_", "bg", "unlabeled", "unlabelled", "none")
_BESIDE = re.compile(r"[\s,;:\t=]+")


@dataclass(frozen=True)
class Entry:
    """One class of a list.

    Attributes:
        name: of the class.
        value: of its pixels, if the list says it.
        colour: of its pixels as 0xRRGGBB, if the list says it.
        ignored: its pixels are no class.
    """

    name: str
    value: int | None = None
    colour: int | None = None
    ignored: bool = False


@dataclass(frozen=True)
class ClassList:
    """The classes that a file names."""

    file: Path
    entries: tuple[Entry, ...]

    def names(self, values: Sequence[int], coloured: bool) -> dict[int, str]:
        """Returns the names of those of the masks' values that the list knows.

        Bare names are numbered by their lines: from 0 if the first one is a background,
        from 1 if the masks hold as many values above 0; else they are not used. Those
        of fast.ai's codes.txt are numbered from 0.
        """
        found = self._numbered(values, coloured)
        return {value: found[value].name for value in values if value in found}

    def knows(self, values: Sequence[int], coloured: bool) -> bool:
        """Returns whether the list names each of the values, 0 excepted."""
        names = self.names(values, coloured)
        return bool(names) and not {*values} - names.keys() - {0}

    def names_rest(self, seen: MaskSet) -> bool:
        """Returns whether it names all values but the highest, 0 excepted.

        Three bare names may be of 0 and 255 as well.
        """
        listed = self.names(seen.values, seen.coloured)
        sure = len(seen.values) != 3 or not self.is_bare
        return sure and {*seen.values[:-1]} <= {0, *listed}

    def ignored(self, values: Sequence[int], coloured: bool) -> tuple[int, ...]:
        """Returns the masks' values of which the list says that they are no class."""
        found = self._numbered(values, coloured)
        return tuple(v for v in values if v in found and found[v].ignored)

    def require_one_count(self, seen: MaskSet) -> None:
        """Refuses bare names that may be of the values from 0, or of those from 1.

        Raises:
            BadData: they are numbered from 1, and 0 hardly is the background.
        """
        listed = self.names(seen.values, seen.coloured)
        from_1 = self.is_bare and {*seen.values} - listed.keys() == {0}
        if not from_1 or len(listed) < 2 or seen.border[0] == max(seen.border.values()):
            return
        last = seen.values[-1]
        raise BadData(
            f"{self.file}: its {last} names may be of the values 1 to {last}, or of 0 "
            f"to {last - 1}, and {last} be no label. Write its value before each name, "
            f"from 1 on, or from 0 on and with --ignore-values {last}"
        )

    @property
    def is_bare(self) -> bool:
        """Whether it has names alone, without values or colours."""
        return all(e.value is None and e.colour is None for e in self.entries)

    def _numbered(self, values: Sequence[int], coloured: bool) -> dict[int, Entry]:
        if coloured or not self.is_bare:
            key = "colour" if coloured else "value"
            found = {getattr(entry, key): entry for entry in self.entries}
            return {value: entry for value, entry in found.items() if value is not None}
        no_line = bool(self.entries) and self.entries[0].name.lower() == _NO_LINE
        bare, highest = self.entries[no_line:], max(values, default=0)
        if bare and (bare[0].name.lower() in BACKGROUND or bare[0].ignored):
            return dict(enumerate(bare))
        if self.file.name == _FROM_0:
            return dict(enumerate(bare)) if highest < len(bare) else {}
        return dict(enumerate(bare, 1)) if highest == len(bare) else {}


def find_class_list(folders: Iterable[Path]) -> ClassList | None:
    """Returns the list of classes in the first of the folders that holds one.

    Raises:
        BadData: there are several in one folder, or one cannot be read.
    """
    for folder in dict.fromkeys(folders):
        names = [_FROM_0, *(s + suffix for s in _STEMS for suffix in _SUFFIXES)]
        files = [folder / name for name in names if (folder / name).is_file()]
        found = [ClassList(file, _read(file)) for file in files]
        lists = [one for one in found if _may_be_classes(one)]
        if len(lists) > 1:
            raise BadData(
                f"{lists[0].file} and {lists[1].file.name} both name classes: leave "
                "one of them there, or give --class-names"
            )
        if lists:
            return lists[0]
    return None


def _may_be_classes(found: ClassList) -> bool:
    """Returns whether it is no table of images, nor a list of files."""
    names = [entry.name for entry in found.entries if not entry.ignored]
    fits = found.entries and (len(names) <= IGNORE or not found.is_bare)
    # One of a long list may stand there twice.
    return bool(fits) and len(names) - len({*names}) <= len(names) // 5


def plain_name(value: int, data: DataConfig) -> str:
    """Returns what the class of one of ``data.class_values`` is called without more."""
    first = value == data.class_values[0]
    if first and (value == 0 or data.mask_reading in ("colours", "indices")):
        return "background"
    return f"class_{shown([value], data).removeprefix('0x')}"


def named(data: DataConfig, names: tuple[str, ...]) -> DataConfig:
    """Returns ``data`` with the names of its classes, where it has none.

    Raises:
        BadUsage: it has more or fewer than ``names``.
    """
    if data.class_names and len(data.class_names) != len(names):
        raise BadUsage(
            f"--class-names must be {len(names)} names, one a class, "
            f"not {' '.join(data.class_names)}"
        )
    return replace(data, class_names=data.class_names or names)


def _read(file: Path) -> tuple[Entry, ...]:
    try:
        text = file.read_text("utf-8-sig")
        entries = _PARSERS[file.suffix](text)
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise BadData(
            f"{file}: expected the names of the masks' classes, one a line, or a table "
            f"or JSON list of value, color and name; {error}. Mend it, or move it away "
            "and give --class-names"
        ) from error
    return tuple(entry for entry in entries if entry.name)


def _from_lines(text: str) -> list[Entry]:
    lines = [line.strip() for line in text.splitlines()]
    return [_from_line(line) for line in lines if line and not line.startswith("#")]


def _from_line(line: str) -> Entry:
    """Returns the entry of ``name``, ``7 name``, ``name: 7`` or ``64 128 64 name``."""
    named = re.fullmatch(r"([^:=,;\t]+)[:=,;\t]\s*(\d+)", line)
    if named and not named.group(1).strip().isdigit():
        return Entry(named.group(1).strip(), value=int(named.group(2)))
    # CVAT writes name:64,128,64::
    cvat = re.fullmatch(r"([^:]+):(\d+),(\d+),(\d+):.*", line)
    if cvat:
        return Entry(cvat.group(1), colour=_packed(cvat.groups()[1:]))
    words = _BESIDE.split(line)
    numbers = [word for word in words[:3] if word.isdigit()]
    if len(numbers) == 3 and len(words) > 3:
        return Entry(" ".join(words[3:]), colour=_packed(numbers))
    if words[0].isdigit() and len(words) > 1:
        return Entry(" ".join(words[1:]), value=int(words[0]))
    if len(words) > 3 and all(word.isdigit() for word in words[-3:]):
        return Entry(" ".join(words[:-3]), colour=_packed(words[-3:]))
    return Entry(line, ignored=line.lower() in _NOTHING)


def _from_table(text: str) -> list[Entry]:
    rows = list(csv.reader(text.splitlines()))
    header = [cell.strip().lower() for cell in rows[0]]
    if not set(header) & set(_NAME):
        return _from_lines(text)
    rows = [row for row in rows[1:] if row]
    fields = [dict(zip(header, row, strict=False)) for row in rows]
    values = [str(_first(one, _VALUE) or "0") for one in fields]
    if values and not any(value.strip().isdigit() for value in values):
        return []  # It names images.
    return [_from_fields(one) for one in fields]


def _from_json(text: str) -> list[Entry]:
    found = json.loads(text)
    if isinstance(found, dict) and isinstance(found.get("labels"), list):
        found = found["labels"]
    if isinstance(found, list):
        return [Entry(x) if isinstance(x, str) else _from_fields(x) for x in found]
    pairs = [(k, v) if str(k).isdigit() else (v, k) for k, v in found.items()]
    return [Entry(str(name), value=int(value)) for value, name in pairs]


_PARSERS = {".txt": _from_lines, ".csv": _from_table, ".json": _from_json}


def _from_fields(fields: Mapping[str, Any]) -> Entry:
    fields = {str(name).lower(): value for name, value in fields.items()}
    name, value = _first(fields, _NAME), _first(fields, _VALUE)
    colour = _first(fields, _COLOUR)
    if colour is None and {"r", "g", "b"} <= fields.keys():
        colour = [fields[letter] for letter in "rgb"]
    void = str(_first(fields, _IGNORED)).strip().lower() in ("1", "true", "yes")
    return Entry(
        str(name).strip(),
        None if value in (None, "") else int(value),
        None if colour in (None, "") else _colour(colour),
        void or str(name).lower() in _NOTHING,
    )


def _first(fields: Mapping[str, Any], names: Iterable[str]) -> Any:
    return next((fields[name] for name in names if name in fields), None)


def _colour(text: Any) -> int:
    if isinstance(text, str):
        if re.fullmatch("(#|0x)[0-9a-fA-F]{6}", text.strip()):
            return int(text.strip().removeprefix("#").removeprefix("0x"), 16)
        text = re.findall(r"\d+", text)
    return _packed(text)


def _packed(numbers: Sequence[Any]) -> int:
    red, green, blue = (int(number) for number in numbers)
    return (red << 16) | (green << 8) | blue
