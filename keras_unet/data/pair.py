"""An image and its mask before either is read, and files that make no pair."""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, Literal

from keras_unet.data_config import DataConfig, Reading
from keras_unet.errors import BadData

_CAUSES = 20
_PLACES = 3
_ALL = (
    "python -m keras_unet.data check, given the same data and --output DIR, lists all "
    "of them in DIR/report.json"
)

_ALONE = ("has no mask", "has no image", "has no row")
_WAY_ON = (
    "To go on with the pairs alone: python -m keras_unet.data check, given the same "
    "data and --output DIR, writes DIR/pairs.csv, for --pairs"
)


@dataclass(frozen=True)
class Problem:
    """A file and one readable line on what is the matter with it.

    Attributes:
        file: the file.
        cause: what is the matter; problems of one cause are told together.
        part: the part of the file that is meant, such as a line, if not all of it.
    """

    file: Path
    cause: str
    part: str = ""

    @property
    def place(self) -> str:
        """The file, and the part of it if one is meant."""
        return f"{self.file}, {self.part}" if self.part else str(self.file)

    def __str__(self) -> str:
        return f"{self.place}: {self.cause}"


@dataclass(frozen=True)
class Found:
    """The pairs of a folder, and the files that make none.

    Attributes:
        every: the pairs of all parts, in their order and sorted by name.
        problems: why other files make none.
        notes: how the pairs were found.
        says: fields of a DataConfig, by name, that the folder answers.
    """

    every: tuple[Pair, ...]
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    says: Mapping[str, Any] = field(default_factory=dict)

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """Those that are not known to be for validation or test."""
        return self._of("", "train")

    @property
    def validation(self) -> tuple[Pair, ...]:
        """The pairs of --validation, or of the folder's own split."""
        return self._of("validation")

    @property
    def test(self) -> tuple[Pair, ...]:
        """Those of --test, or of the folder's own split."""
        return self._of("test")

    def _of(self, *parts: str) -> tuple[Pair, ...]:
        return tuple(pair for pair in self.every if pair.part in parts)

    def grouped(self, known: bool = False) -> Found:
        """Returns the pairs, which are their own groups, by what their names say.

        That is the car where names are Carvana's, or the image of which Roboflow made
        several. In Kaggle's folders, ``known``, cars need not be many or complete.
        """
        if not _shows_cars(self.every, known):
            return self.by_source()
        pairs = tuple(replace(p, group=car_of(_name(p))) for p in self.every)
        note = "by what comes before _01, _02, ... in the names (see --group-by)"
        return replace(self, every=pairs, notes=(*self.notes, f"groups: {note}"))

    def by_source(self) -> Found:
        """Returns ``a_jpg.rf.<code>`` in one group ``a_jpg``, if any has several."""
        sources = [_VERSION.sub("", pair.group) for pair in self.every]
        if len({*sources}) == len({pair.group for pair in self.every}):
            return self
        # What has the name in another part is another image.
        starts = [pair.part and f"{pair.part}/" for pair in self.every]
        pairs = tuple(
            replace(pair, group=start + source.removeprefix(start))
            for pair, start, source in zip(self.every, starts, sources, strict=True)
        )
        note = "groups: by what comes before .rf. in the names (see --group-by)"
        return replace(self, every=pairs, notes=(*self.notes, note))

    def settle(self, data: DataConfig) -> DataConfig:
        """Returns ``data`` with what it leaves open and the folder answers.

        Raises:
            BadData: the folder's masks are single objects, and classes are wanted; or
                a class that ``data`` names has another value.
        """
        says = dict(self.says)
        if says.get("mask_kind") == "instances" and data.mask_kind == "classes":
            raise BadData(
                "the masks are of one object a file, which are no classes: give "
                "--mask-kind instances or binary; a run of classes cannot be scored on "
                "them"
            )
        found = _classes(says)
        # Others may have been named anew, or be bare values.
        names = {name for _, name in found}
        known = {one for one in _classes(vars(data)) if one[1] in names}
        place = next((pair.table or pair.image for pair in self.every), "")
        _refuse_other(known, found, place)
        above = says.get("mask_kind") == "classes" and data.foreground_above is not None
        if data.mask_kind != "auto" or data.class_values or above:
            # These hold whatever the values mean.
            says = {n: says[n] for n in ("run_lengths", "ignore_values") if n in says}
        return data.filled(says)


MASK_SUFFIX = "_mask"
_VIEW = re.compile(r"(.+)_(0[1-9]|1[0-6])")
_CARS = 3
_VERSION = re.compile(r"\.rf\.\w+$")


def _name(pair: Pair) -> str:
    """Returns the image's name without its suffix, of a pair that is its own group."""
    return pair.group.rpartition("/")[2]


def car_of(name: str) -> str:
    """Returns the car of ``<car>_<view>``; without a view, all of the name."""
    return re.sub(r"_\d+$", "", name)


def _shows_cars(pairs: Sequence[Pair], known: bool) -> bool:
    """Returns whether some cars have several of ``<car>_01.jpg`` to ``<car>_16.jpg``.

    The masks are called ``<car>_01_mask``, or are lines of a table. Of what is
    ``known``, a car may have one view, and two are enough, or one with such masks.
    """
    views = [_VIEW.fullmatch(_name(pair)) for pair in pairs]
    cars = Counter(view[1] for view in views if view)
    named = all(pair.mask.stem.endswith(MASK_SUFFIX) for pair in pairs if pair.mask)
    whole = named and all(views) and not any(pair.part for pair in pairs)
    if not whole or (known and all(pair.mask for pair in pairs)):
        return whole and bool(pairs)
    if known:
        return len(cars) > 1 and max(cars.values()) > 1
    return len(cars) >= _CARS and min(cars.values()) > 1


def require_agreed(
    known: Mapping[str, Any], more: Mapping[str, Any], place: Path | str
) -> None:
    """Refuses two sets, by their ``Found.says``, of which one has other classes.

    Args:
        known: of the one set.
        more: of the other one.
        place: of the other one, for the message.

    Raises:
        BadData: they have one value for two classes, or two values for one class.
    """
    _refuse_other(_classes(known), _classes(more), place)


def _classes(says: Mapping[str, Any]) -> set[tuple[int, str]]:
    names, values = (says.get(f"class_{what}", ()) for what in ("names", "values"))
    return set(zip(values, names, strict=False))


def _refuse_other(
    known: set[tuple[int, str]], found: set[tuple[int, str]], place: Path | str
) -> None:
    for value, name in sorted(found - known):
        for wanted, called in sorted(known - found):
            if value == wanted or name == called:
                raise BadData(
                    f"{place}: has the value {value} for {name}, expected {wanted} for "
                    f"{called}, as elsewhere: give all files the same categories, with "
                    "the same ids, and objects of a category 0 to all or to none"
                )


def listing(problems: Sequence[Problem], where: str = _ALL) -> str:
    """Returns the problems as one message: a line for each cause, the frequent first.

    ``where`` is what tells all of them, said where the message leaves some out.
    """
    alone = any(problem.cause.startswith(_ALONE) for problem in problems)
    end = f"\n{_WAY_ON}" if alone and where == _ALL else ""
    if len(problems) == 1:
        return f"{problems[0]}{end}"
    of_cause = defaultdict(list)
    for problem in problems:
        of_cause[problem.cause].append(problem)
    groups = sorted(of_cause.values(), key=len, reverse=True)
    lines = [f"{len(problems)} things are wrong with the data:"]
    lines += [f"  {_line(alike)}" for alike in groups[:_CAUSES]]
    if len(groups) > _CAUSES:
        lines.append(f"  … and {len(groups) - _CAUSES} more causes")
    if len(groups) > _CAUSES or len(groups[0]) > _PLACES:
        lines.append(where)
    return "\n".join(lines) + end


def _line(alike: Sequence[Problem]) -> str:
    """Returns the line of all problems of one cause."""
    first = alike[0]
    if len(alike) == 1:
        return str(first)
    count = f"{len(alike)} times" if first.part else f"{len(alike)} files"
    names = [_name_beside(first.file, problem) for problem in alike[1:_PLACES]]
    more = ", …" if len(alike) > _PLACES else ""
    return f"{first.cause} ({count}): {', '.join([first.place, *names])}{more}"


def _name_beside(file: Path, problem: Problem) -> str:
    """Returns the shortest name of a problem's place where ``file`` was just named."""
    if problem.part and problem.file == file:
        return problem.part
    if problem.file.parent == file.parent:
        return replace(problem, file=Path(problem.file.name)).place
    return problem.place


@dataclass(frozen=True)
class Fingerprint:
    """By what a file is known again.

    Attributes:
        size: in bytes.
        modified: time of its last change, in nanoseconds; 0 where there is none.
        sha256: of its content.
    """

    size: int
    modified: int
    sha256: str

    @classmethod
    def of(cls, file: BinaryIO) -> Fingerprint:
        """Returns that of an open file."""
        status = os.fstat(file.fileno())
        file.seek(0)
        content = hashlib.sha256()
        while piece := file.read(1 << 20):
            content.update(piece)
        return cls(status.st_size, status.st_mtime_ns, content.hexdigest())

    @classmethod
    def of_files(cls, files: Iterable[Path]) -> Fingerprint:
        """Returns that of several files: of their names, sizes, times and contents.

        Raises:
            OSError: one of them cannot be read.
        """
        size, modified, content = 0, 0, hashlib.sha256()
        for path in files:
            with path.open("rb") as file:
                each = cls.of(file)
            size, modified = size + each.size, max(modified, each.modified)
            content.update(os.fsencode(f"{path.name} {each.sha256}\n"))
        return cls(size, modified, content.hexdigest())

    @classmethod
    def of_text(cls, text: str | bytes) -> Fingerprint:
        """Returns that of something that is no file."""
        content = text.encode() if isinstance(text, str) else text
        return cls(len(content), 0, hashlib.sha256(content).hexdigest())


@dataclass(frozen=True)
class Record:
    """Where a pair lies, resized, in a file of many (see ``records``).

    Attributes:
        file: the TFRecord file.
        offset: bytes before the record's content.
        length: bytes of its content.
        checksum: its CRC-32.
        mask_reading: how the mask's values were read; auto where that is not known.
    """

    file: Path
    offset: int
    length: int
    checksum: int
    mask_reading: Reading = "auto"

    @property
    def fingerprint(self) -> Fingerprint:
        """By what the record is known again; its own file need not be read."""
        return Fingerprint(self.length, 0, f"crc32 {self.checksum:08x}")


Part = Literal["", "train", "validation", "test"]
Coding = Literal["rows", "columns", "coco"]


@dataclass(frozen=True)
class Pair:
    """One image and where its truth lies.

    Attributes:
        image: file of the image.
        mask: file of the mask, or a folder with the mask of one object in each file;
            None where ``run_lengths`` holds it.
        group: images of one group (a car) are never split.
        run_lengths: the mask as text, coded as ``coding`` says, each object on a line.
        record: where training finds both, so that image and mask need not exist.
        part: what the pair is for, where that is given.
        coding: of ``run_lengths``: Kaggle's, row by row or column by column, counted
            from 1; or what ``coco`` makes of annotations.
        table: the file that ``run_lengths`` come from.
        size: height and width of the upright image, where it was looked at.
    """

    image: Path
    mask: Path | None
    group: str
    run_lengths: str | None = None
    record: Record | None = None
    part: Part = ""
    coding: Coding = "rows"
    table: Path | None = None
    size: tuple[int, int] | None = field(default=None, compare=False)
