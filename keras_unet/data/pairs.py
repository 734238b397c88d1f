"""From a DataConfig to its pairs, and from those to training, validation and test.

Splits are by group and by name alone: neither a seed nor the order of a folder matters.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from keras_unet.config import DataConfig
from keras_unet.data.layouts import look_into, match_names, normal, stem_of
from keras_unet.data.pair import Found, Pair, Problem, listing
from keras_unet.errors import BadData, BadUsage

_SHARE = 0.1


@dataclass(frozen=True)
class Split:
    """The pairs by what they are for; no group is in two of them."""

    train: tuple[Pair, ...]
    validation: tuple[Pair, ...]
    test: tuple[Pair, ...]


def look(data: DataConfig) -> Found:
    """Returns the pairs of ``data``, sorted by name, and the files that make none.

    Raises:
        BadData: a folder is missing, empty or of no known layout.
        BadUsage: no folder was given, or --group-by is no regular expression.
    """
    if data.images is not None and data.masks is not None:
        found = match_names(data.images, data.masks, stem_of)
    elif data.data is not None:
        found = look_into(data.data)
    else:
        raise BadUsage("no data: give --data DIR, or --images DIR and --masks DIR")
    if data.group_by is not None:
        found = _regroup(found, data.group_by)
    pairs = sorted(found.pairs, key=lambda pair: normal(pair.image.name))
    return Found(tuple(pairs), found.problems)


def look_everywhere(data: DataConfig) -> Found:
    """Returns what ``look`` finds in ``data`` and then in its --validation folder.

    Raises:
        BadData: as by ``look``.
        BadUsage: as by ``look``.
    """
    found = look(data)
    if data.validation is None:
        return found
    given = look(_validation_of(data))
    return Found(found.pairs + given.pairs, found.problems + given.problems)


def find_pairs(data: DataConfig) -> list[Pair]:
    """Returns the pairs of ``data``, sorted by name.

    Raises:
        BadData: as by ``look``, or a file has no partner or two.
        BadUsage: as by ``look``.
    """
    found = look(data)
    if found.problems:
        raise BadData(listing(found.problems))
    return list(found.pairs)


def split_pairs(pairs: Sequence[Pair]) -> Split:
    """Returns a tenth of the groups for test, one for validation, the rest to train.

    Groups are ranked by the SHA-256 of their name: the first are test, the next
    validation, at least one each.

    Raises:
        BadData: there are fewer than three groups.
    """
    ranked = _ranked(pairs)
    _need_groups(ranked, 3, "training, validation and test")
    tenth = _tenth(ranked)
    test, validation = set(ranked[:tenth]), set(ranked[tenth : 2 * tenth])
    return Split(
        train=tuple(p for p in pairs if p.group not in test | validation),
        validation=tuple(p for p in pairs if p.group in validation),
        test=tuple(p for p in pairs if p.group in test),
    )


def split_of(data: DataConfig) -> Split:
    """Returns the split of ``data``; with --validation, that folder's pairs validate.

    Raises:
        BadData: as by ``find_pairs``; too few groups; or a picture of --validation, or
            a group of it that was named on purpose, is also in the rest.
        BadUsage: as by ``look``.
    """
    pairs = find_pairs(data)
    if data.validation is None:
        return split_pairs(pairs)
    given = find_pairs(_validation_of(data))
    _refuse_overlap(pairs, given, data.validation)
    ranked = _ranked(pairs)
    _need_groups(ranked, 2, "training and test")
    test = set(ranked[: _tenth(ranked)])
    return Split(
        train=tuple(p for p in pairs if p.group not in test),
        validation=tuple(given),
        test=tuple(p for p in pairs if p.group in test),
    )


def _validation_of(data: DataConfig) -> DataConfig:
    return replace(data, data=data.validation, images=None, masks=None, validation=None)


def _regroup(found: Found, group_by: str) -> Found:
    try:
        pattern = re.compile(group_by)
    except re.error as error:
        raise BadUsage(
            f"--group-by {group_by} is no regular expression: {error}"
        ) from (error)
    pairs, problems = [], list(found.problems)
    for pair in found.pairs:
        match = pattern.search(normal(pair.image.name))
        group = match and match.group(min(1, pattern.groups))
        if group:
            pairs.append(replace(pair, group=group))
        else:
            cause = f"--group-by {group_by} finds nothing in its name"
            problems.append(Problem(pair.image, cause))
    return Found(tuple(pairs), tuple(problems))


def _need_groups(groups: Sequence[str], least: int, parts: str) -> None:
    if len(groups) < least:
        raise BadData(
            f"the data has too few groups to be split into {parts}, which share none: "
            f"at least {least}, not {len(groups)} ({', '.join(groups)}); see --group-by"
        )


def _refuse_overlap(pairs: Sequence[Pair], given: Sequence[Pair], folder: Path) -> None:
    files = {pair.image.resolve() for pair in pairs}
    both = [pair.image for pair in given if pair.image.resolve() in files]
    if both:
        raise BadData(f"{both[0]}: is in --validation and in the rest of the data")
    # A picture that is its own group has a name like 0001, which proves nothing.
    grouped = {p.group for p in pairs if p.group != stem_of(p.image)}
    shared = sorted(grouped & {pair.group for pair in given})
    if shared:
        raise BadData(f"{folder}: group {shared[0]} is also in the rest of the data")


def _ranked(pairs: Sequence[Pair]) -> list[str]:
    groups = {pair.group for pair in pairs}
    return sorted(groups, key=lambda g: hashlib.sha256(normal(g).encode()).hexdigest())


def _tenth(groups: Sequence[str]) -> int:
    return max(1, round(_SHARE * len(groups)))
