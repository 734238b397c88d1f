"""Pairs resized once and kept in a few TFRecord files, with an index to any of them.

An image is kept as JPEG, PNG or its bare pixels, a mask as runs of its values, so that
what they mean is found by training just as from a folder.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from keras_unet import types
from keras_unet.config import Config
from keras_unet.console import Progress, silent
from keras_unet.data import records_index
from keras_unet.data.folders import opened
from keras_unet.data.images import as_channels, decode_values, find_white, read_header
from keras_unet.data.mask_pixels import nearest_pixels
from keras_unet.data.masks import class_ids, read_values, target_ids, weighted
from keras_unet.data.pair import Pair, Record
from keras_unet.data.records_index import ImageCoding, row_of, write_index
from keras_unet.data.resize import at_size, read_resized
from keras_unet.data_config import DataConfig
from keras_unet.errors import BadData
from keras_unet.files import disk_error, write_new
from keras_unet.types import Values

_SHARD_BYTES = 2**27
_FRAME_BYTES = 12  # of a TFRecord: eight for its length, four for that one's checksum
_QUALITY = 95
_SOUND: set[Record] = set()


def write_records(
    pairs: Sequence[Pair],
    data: DataConfig,
    folder: Path,
    coding: ImageCoding = "jpeg",
    progress: Progress = silent,
    *,
    says: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Writes pairs at ``data.image_size`` into a new folder, complete or not at all.

    Args:
        pairs: what to write, in this order.
        data: image size, largest image, and bands and white as in training.
        folder: is made; until it is complete it has another name.
        coding: of the images.
        progress: is told after each pair how many are done, and of how many.
        says: what the pairs' layout answers, as ``Found.says``.

    Raises:
        BadUsage: the folder is there already, or images are to keep their own sizes.
        BadData: an image cannot be read.
        OSError: the disk is full.
    """
    records_index.require_new(folder)
    records_index.require_one_size(data)
    data = dataclasses.replace(data, white=_white(pairs, data))
    with write_new(folder) as aside:
        rows = []
        try:
            for row in _write_shards(pairs, data, aside, coding):
                rows.append(row)
                progress(len(rows), len(pairs))
        except tf.errors.OpError as error:
            raise disk_error(str(error), folder) or error from None
        write_index(aside, data, coding, rows, says)


def read_record(
    record: Record,
    channels: int,
    size: tuple[int, int] | None = None,
    meaning: Callable[[Values], Any] = lambda values: values,
) -> tuple[types.Image, Any]:
    """Returns image, uint8 (h, w, 3 or 1), and mask values (h, w).

    They are of ``size``, by default as they were written. ``meaning`` makes of values
    what is returned; it is asked once for each run of equal ones.

    Raises:
        BadData: the file was changed or cut since it was written.
    """
    content = _content(record)
    # Once a process, because it takes as long as the reading.
    if record not in _SOUND and zlib.crc32(content) != record.checksum:
        raise BadData(f"{record.file}: is damaged; write the records again")
    _SOUND.add(record)
    feature = tf.train.Example.FromString(content).features.feature
    image = _image(feature, channels)
    values = np.frombuffer(_bytes(feature["mask_values"]), "<i4")
    lengths = np.frombuffer(_bytes(feature["mask_lengths"]), "<u4")
    # As wide as ``decode_mask_values`` has them.
    values = values.astype(np.uint8) if values.max() < 256 else values
    mask = np.repeat(meaning(values), lengths).reshape(image.shape[:2])
    wanted = size or image.shape[:2]
    return at_size(image, wanted), nearest_pixels(mask, wanted)


def read_seen(
    pairs: Sequence[Pair], config: Config
) -> Iterator[tuple[types.Image, types.Mask]]:
    """Yields images (h, w, c) and masks (h, w) at the size at which they are seen.

    With --weight-map masks are as by ``weighted``. Pairs are records, or files, all of
    them.

    Raises:
        BadData: one cannot be read.
    """
    data, channels = config.data, config.model.channels
    recorded = [(pair, pair.record) for pair in pairs if pair.record]
    for pair, record in recorded:
        if config.loss.weight_map or data.targets == "borders":
            image, values = read_record(record, channels, data.image_size)
            yield image, _truth(pair, values, config, data.image_size)
        else:
            meaning = partial(class_ids, pair, data=data)
            yield read_record(record, channels, data.image_size, meaning)
    if recorded:
        return
    # All images, then all masks: what reads the one kind stays in the processor's
    # caches, and a pair takes a tenth less time.
    images = [read_resized(pair.image, channels, data) for pair in pairs]
    of_objects = config.loss.weight_map or data.targets == "borders"
    for image, pair in zip(images, pairs, strict=True):
        size = image.shape[:2]
        values = read_values(pair, data, None if of_objects else size)
        yield image, _truth(pair, values, config, size)


def _truth(
    pair: Pair, values: Values, config: Config, size: tuple[int, int]
) -> types.Mask:
    if config.loss.weight_map:
        return weighted(pair, values, config.data, config.loss, size)
    return target_ids(pair, values, config.data, size)


def _white(pairs: Sequence[Pair], data: DataConfig) -> int | None:
    if data.white is not None:
        return data.white
    brightest = []
    for pair in pairs:
        with opened(pair.image) as file:
            header = read_header(file, data.max_pixels)
            values = np.zeros(1) if header.is_plain else decode_values(file, data)
        if values.dtype == np.uint16:
            brightest.append(int(values.max()))
    return find_white(brightest, None)[0]


def _write_shards(
    pairs: Sequence[Pair], data: DataConfig, folder: Path, coding: ImageCoding
) -> Iterator[dict[str, Any]]:
    """Writes the files, and yields the index's row of each pair."""
    waiting = iter(pairs)
    pair = next(waiting, None)
    number = 0
    while pair:
        file = folder / f"pairs-{number:05}.tfrecord"
        offset = 0
        with tf.io.TFRecordWriter(str(file)) as writer:
            while pair and offset < _SHARD_BYTES:
                content = _example(pair, data, coding).SerializeToString()
                writer.write(content)
                yield row_of(pair, file, offset + _FRAME_BYTES, content)
                offset += _FRAME_BYTES + len(content) + 4
                pair = next(waiting, None)
        number += 1


def _example(pair: Pair, data: DataConfig, coding: ImageCoding) -> tf.train.Example:
    with opened(pair.image) as file:
        header = read_header(file, data.max_pixels)
    is_grey = header.mode in ("1", "L", "LA") or header.mode.startswith("I")
    channels = 1 if len(data.bands) == 1 or (is_grey and not data.bands) else 3
    image = read_resized(pair.image, channels, data)
    values, lengths = _runs(read_values(pair, data, data.image_size))
    return tf.train.Example(
        features=tf.train.Features(
            feature={
                "image": _of_bytes(_encoded(image, coding)),
                "coding": _of_text(coding),
                "shape": _of_numbers(image.shape),
                "size": _of_numbers(header.shape),
                "mask_values": _of_bytes(values.astype("<i4").tobytes()),
                "mask_lengths": _of_bytes(lengths.astype("<u4").tobytes()),
                "source": _of_text(str(pair.image.resolve())),
                "group": _of_text(pair.group),
            }
        )
    )


def _encoded(image: types.Image, coding: ImageCoding) -> bytes:
    if coding == "raw":
        return image.tobytes()
    with tf.device("CPU"):
        if coding == "jpeg":
            encoded = tf.io.encode_jpeg(image, quality=_QUALITY)
        else:
            encoded = tf.io.encode_png(image)
    return bytes(encoded.numpy())


def _image(feature: Any, channels: int) -> types.Image:
    content = _bytes(feature["image"])
    if _bytes(feature["coding"]) != b"raw":
        with tf.device("CPU"):
            decoded = tf.io.decode_image(content, channels, expand_animations=False)
        return np.asarray(decoded)
    pixels = np.frombuffer(content, np.uint8)
    shape = feature["shape"].int64_list.value
    return as_channels(pixels.reshape(shape), channels)


def _of_bytes(value: bytes) -> tf.train.Feature:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))


def _of_text(value: str) -> tf.train.Feature:
    # Names of files need not be text.
    return _of_bytes(value.encode("utf-8", "surrogateescape"))


def _of_numbers(values: Iterable[int]) -> tf.train.Feature:
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


def _runs(values: Values) -> tuple[Values, npt.NDArray[np.int64]]:
    """Returns the value and the length of each run of equal values, row by row."""
    flat = values.ravel()
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    return flat[starts], np.diff(starts, append=len(flat))


def _content(record: Record) -> bytes:
    try:
        with record.file.open("rb") as file:
            file.seek(record.offset)
            return file.read(record.length)
    except OSError as error:
        raise BadData(f"{record.file}: cannot be read ({error.strerror})") from error


def _bytes(feature: tf.train.Feature) -> bytes:
    content: bytes = feature.bytes_list.value[0]
    return content
