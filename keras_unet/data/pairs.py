"""From a DataConfig to pairs that can be used, and what each of them is for.

Splits are by group and by name alone: neither a seed nor the order of a folder matters.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from keras_unet.config import Config
from keras_unet.console import Progress, silent
from keras_unet.data.check import check_data
from keras_unet.data.folders import normal, stem_of
from keras_unet.data.layouts import find
from keras_unet.data.names import tenth_of
from keras_unet.data.objects import mask_files
from keras_unet.data.pair import Fingerprint, Found, Pair, Problem, listing
from keras_unet.data.pairs_file import changes, rows_of, size_of, split_row
from keras_unet.data.pieces import count_pieces
from keras_unet.data_config import DataConfig
from keras_unet.errors import BadData, BadUsage, flag_of, quoted
from keras_unet.files import write_rows
from keras_unet.run_folder import RunFolder


@dataclass(frozen=True)
class Split:
    """The pairs by what they are for; no group is in two of them."""

    train: tuple[Pair, ...]
    validation: tuple[Pair, ...]
    test: tuple[Pair, ...]


@dataclass(frozen=True, kw_only=True)
class Prepared(Found):
    """Pairs that were looked at and can be used.

    Attributes:
        data: where they are from, with what the masks' values mean.
        fingerprints: of each pair's image and mask, by the image's file.
    """

    data: DataConfig
    fingerprints: Mapping[Path, tuple[Fingerprint, Fingerprint]]

    def split(self) -> Split:
        """Returns the pairs by what they are for.

        Raises:
            BadData: as by ``split_pairs``.
        """
        return split_pairs(self.pairs, self.validation, self.test)

    def resolve(self, config: Config) -> Config:
        """Returns a config with what was found: what values mean, how many classes.

        Raises:
            BadUsage: it has more classes than the masks hold, or class weights that
                are not one for each.
        """
        wanted, found = config.model.classes, len(self.data.class_names)
        if wanted > found:
            raise BadUsage(
                f"--classes {wanted} is more than the {found} that the masks hold "
                f"({', '.join(self.data.class_names)}): leave --classes out, or give "
                "the values of all classes with --class-values"
            )
        several = self.data.mask_kind == "classes" or self.data.targets == "borders"
        classes = found if wanted == 1 and several else wanted
        config.loss.require_weights(classes)
        model = dataclasses.replace(config.model, classes=classes)
        return dataclasses.replace(config, data=self.data, model=model)

    def require_apart(self, run: RunFolder) -> None:
        """Refuses a run folder in a folder of images or masks.

        Raises:
            BadUsage: its figures would be taken for images of the set the next time.
        """
        if self.data.pairs:
            # Nothing but what the file lists is taken for an image.
            return
        files = [f for pair in self.every for f in (pair.image, pair.mask) if f]
        folders = {folder.resolve() for folder in {file.parent for file in files}}
        # Of images right in it, --data is not searched deeper.
        flat = {self.data.data.resolve()} if self.data.data else set()
        path = run.path.resolve()
        for folder in folders & {path, *({*path.parents} - flat)}:
            raise BadUsage(
                f"--output {run.path} lies among the images and masks of {folder}, and "
                "what it holds would be taken for more of them: give another folder"
            )

    def write_split(self, run: RunFolder) -> None:
        """Writes split.csv: what the run is trained and scored on."""
        rows = [
            split_row(pair, part, *self.fingerprints[pair.image])
            for part, pairs in vars(self.split()).items()
            for pair in pairs
        ]
        write_rows(run.split_file, rows)


def prepare(
    data: DataConfig,
    classes: int = 1,
    progress: Progress = silent,
    to_split: bool = True,
) -> Prepared:
    """Returns the pairs of ``data``, as by ``find``, all files looked at.

    Raises:
        BadData: an image or mask is unusable; every file is named with its cause.
        BadUsage: no data was given, or what was contradicts itself.
    """
    found = find(data, to_split)
    report = check_data(found, data, classes, progress)
    if report.problems:
        raise BadData(listing(report.problems))
    headers = [row.image.header for row in report.rows]
    return Prepared(
        tuple(
            dataclasses.replace(pair, size=header.shape if header else None)
            for pair, header in zip(found.every, headers, strict=True)
        ),
        says=found.says,
        notes=report.notes,
        data=report.resolved,
        fingerprints={row.pair.image: row.fingerprints for row in report.rows},
    )


def split_pairs(
    pairs: Sequence[Pair],
    validation: Sequence[Pair] = (),
    test: Sequence[Pair] = (),
) -> Split:
    """Returns a tenth of the groups for test, one for validation, the rest to train.

    Groups are ranked by the SHA-256 of their name: the first are test, the next
    validation, at least one each. Pairs that are given for a part take its place.

    Raises:
        BadData: there are too few groups; or an image of a given part, or a group of
            it that was named on purpose, is also in another one.
    """
    _refuse_overlap(pairs, validation, "validation")
    _refuse_overlap((*pairs, *validation), test, "test")
    ranked = sorted({pair.group for pair in pairs}, key=_rank)
    given = {"validation": validation, "test": test}
    wanted = [part for part, pairs_of in given.items() if not pairs_of]
    _need_groups(ranked, ["training", *wanted])
    tenth = tenth_of(len(ranked))
    chosen = {
        # Of both, those for test come first.
        part: set(ranked[place * tenth : (place + 1) * tenth])
        for place, part in enumerate(reversed(wanted))
    }
    taken = set[str]().union(*chosen.values())
    return Split(
        train=tuple(p for p in pairs if p.group not in taken),
        validation=tuple(validation)
        or tuple(p for p in pairs if p.group in chosen["validation"]),
        test=tuple(test) or tuple(p for p in pairs if p.group in chosen["test"]),
    )


def _rank(group: str) -> str:
    # Names of files need not be text.
    name = normal(group).encode("utf-8", "surrogateescape")
    return hashlib.sha256(name).hexdigest()


def steps_per_epoch(pairs: Sequence[Pair], config: Config) -> int:
    """Returns the number of whole batches in an epoch of training.

    Of pieces, the last batch is filled up: an epoch shows some of every image.

    Raises:
        BadUsage: there are fewer pairs than a batch has.
    """
    count, batch_size = len(pairs), config.fit.batch_size
    if config.data.tiles:
        return -(-int(count_pieces(pairs, config.data).sum()) // batch_size)
    if count < batch_size:
        raise BadUsage(
            f"--batch-size {batch_size} is more than the {count} training pairs: "
            f"take {max(count, 1)} or less"
        )
    return count // batch_size


def split_of_run(
    run: RunFolder, moved: DataConfig | None = None
) -> tuple[Split, tuple[str, ...]]:
    """Returns the pairs that the run was made with, and notes for the screen.

    No file is opened whose size and time of change are those of the training. Of
    records, it is the records that must be the same, not the files behind them.
    ``moved`` says where the pairs are, if they have moved since.

    Raises:
        BadData: split.csv is missing or damaged, or files of it are gone or changed.
    """
    data = run.load_config().data
    again = "" if moved and moved.places != data.places else _if_moved(run, data)
    try:
        found = find(moved or data)
    except BadData as error:
        raise BadData(f"{error}{again}") from None
    pairs = {pair.image: pair for pair in found.every}
    alone = {problem.file: problem for problem in found.problems}
    parts: dict[str, list[Pair]] = {"train": [], "validation": [], "test": []}
    problems, rows = [], rows_of(run)
    now = _where_now([Path(row["image"]) for row in rows], [*pairs])
    for row in rows:
        before = Path(row["image"])
        gone = alone.get(before, Problem(before, "is gone"))
        pair = pairs.pop(now.get(before, before), None)
        if not pair:
            problems.append(gone)
            continue
        changed = changes(pair, row)
        if pair.image != before:  # What has but the same name may be new.
            changed = [
                Problem(before, f"{gone.cause}, and {other.place} {other.cause}")
                for other in changed
            ]
        problems += changed
        group, size = row["group"], size_of(row)
        pair = dataclasses.replace(pair, group=group, size=size)
        parts[row["part"]].append(pair)
    if problems:
        wrong = listing(problems, f"All of the run's files: {run.split_file}")
        raise BadData(
            f"{wrong}\nThe run was made with other data ({run.split_file}): put these "
            f"back, or train anew{again}"
        )
    notes = _moved(now), *_new(pairs.values())
    split = Split(**{part: tuple(of) for part, of in parts.items()})
    return split, tuple(filter(None, notes))


def _if_moved(run: RunFolder, data: DataConfig) -> str:
    """Returns the end of a message on files that are not where they were."""
    flags = " ".join(
        f"{flag_of(name)} {'FILE' if name == 'pairs' else 'DIR'}"
        for name in data.places
    )
    return (
        ". Where they have moved: python -m keras_unet.train --output "
        f"{quoted(run.path)} --resume {flags}"
    )


def _where_now(before: Sequence[Path], now: Sequence[Path]) -> dict[Path, Path]:
    """Returns where files are now: where the longest end of the path is the same."""
    ends = {file: Path(normal(str(file))).parts[::-1] for file in [*before, *now]}
    found: dict[Path, Path] = {}
    left = dict.fromkeys(now)
    for length in range(max(map(len, ends.values())), 0, -1):
        there = {ends[file][:length]: file for file in left}
        for file in before:
            if file not in found and (new := there.pop(ends[file][:length], None)):
                found[file] = new
                del left[new]
        if len(found) == len(before):
            break
    return found


def _moved(now: Mapping[Path, Path]) -> str:
    """Returns the note that files lie elsewhere, if they do."""
    for file, new in now.items():
        if file != new:
            return f"images have moved: {file} is read from {new}"
    return ""


def rewrite_split(run: RunFolder, split: Split) -> None:
    """Writes into split.csv where the run's pairs are now, if they have moved."""
    before, rows = rows_of(run), []
    parts = {part: iter(pairs) for part, pairs in vars(split).items()}
    for row in before:
        pair = next(parts[row["part"]])
        place = {"image": str(pair.image), "mask": str(pair.mask or "")}
        has_moved = not place.items() <= row.items()
        rows.append({**row, **place, **_times_of(pair)} if has_moved else row)
    if rows != before:
        write_rows(run.split_file, rows)


def _times_of(pair: Pair) -> dict[str, str]:
    """Returns what split.csv says of when a pair's files were changed."""
    times = {}
    for kind, file in (("image", pair.image), ("mask", pair.mask)):
        if file and not pair.record:
            last = max(one.stat().st_mtime_ns for one in mask_files(file))
            times[f"{kind}_modified"] = str(last)
    return times


def _new(pairs: Iterable[Pair]) -> tuple[str, ...]:
    names = sorted(pair.image.name for pair in pairs)
    if not names:
        return ()
    are = "image is" if len(names) == 1 else "images are"
    return (f"{len(names)} {are} new since the training and left out ({names[0]})",)


def _need_groups(groups: Sequence[str], parts: Sequence[str]) -> None:
    if len(groups) < len(parts):
        names = " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))
        raise BadData(
            f"the data has too few groups to be split into {names}, which share none: "
            f"at least {len(parts)}, not {len(groups)} ({', '.join(groups)}); see "
            "--group-by"
        )


def _refuse_overlap(pairs: Sequence[Pair], given: Sequence[Pair], part: str) -> None:
    if not given:
        return
    files = {pair.image.resolve() for pair in pairs}
    both = [pair.image for pair in given if pair.image.resolve() in files]
    if both:
        raise BadData(f"{both[0]}: is in --{part} and in the rest of the data")
    # An image that is its own group has a name like 0001, which proves nothing, and
    # Roboflow may have got two of one name.
    named = [p for p in pairs if p.group.split("/")[-1] != stem_of(p.image)]
    grouped = {p.group for p in named if ".rf." not in p.image.name}
    shared = sorted(grouped & {pair.group for pair in given})
    if shared:
        raise BadData(
            f"{given[0].image.parent}: group {shared[0]} of --{part} is also in "
            "the rest of the data (what a group is, --group-by says)"
        )
