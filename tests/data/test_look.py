import os

import numpy as np
import pytest
from PIL import Image

from keras_unet.data import look
from keras_unet.data.look import look_at
from keras_unet.data.look_cache import LookCache
from keras_unet.data.pair import Pair
from keras_unet.data_config import DataConfig

ANY = DataConfig()
OLD = 1_600_000_000
"""A time of change long before any test, in seconds."""


@pytest.fixture
def memory(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with LookCache() as memory:
        yield memory


@pytest.fixture
def pair(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    mask = np.zeros((6, 8), np.uint8)
    mask[:3] = 7
    for name, pixels in [("i.png", image), ("m.png", mask)]:
        Image.fromarray(pixels).save(tmp_path / name)
        os.utime(tmp_path / name, (OLD, OLD))
    return Pair(tmp_path / "i.png", tmp_path / "m.png", "g")


def forbidden(*_):
    raise AssertionError("a file was opened")


def test_a_second_look_finds_the_same_and_opens_no_file(pair, memory, monkeypatch):
    first = look_at(pair, ANY, memory)
    assert first.mask.values.readings["levels"].counts == {0: 24, 7: 24}
    monkeypatch.setattr(look, "opened", forbidden)
    assert look_at(pair, ANY, memory) == first


def test_run_lengths_are_decoded_once(pair, memory, monkeypatch):
    runs = Pair(pair.image, None, "g", run_lengths="1 8 17 8")
    first = look_at(runs, ANY, memory)
    assert first.mask.values.readings["levels"].counts == {0: 32, 1: 16}
    monkeypatch.setattr(look, "decode_runs", forbidden)
    assert look_at(runs, ANY, memory) == first


def test_a_file_of_another_time_is_looked_at_again(pair, memory):
    look_at(pair, ANY, memory)
    Image.new("L", (8, 6), 9).save(pair.mask)
    os.utime(pair.mask, (OLD + 1, OLD + 1))
    assert look_at(pair, ANY, memory).mask.values.readings["levels"].counts == {9: 48}


def test_a_file_that_was_just_written_is_looked_at_again(pair, memory):
    os.utime(pair.mask)
    look_at(pair, ANY, memory)
    when = pair.mask.stat().st_mtime_ns
    content = pair.mask.read_bytes()
    pair.mask.write_bytes(content[:-20] + bytes(20))
    os.utime(pair.mask, ns=(when, when))
    (problem,) = look_at(pair, ANY, memory).problems
    assert problem.file == pair.mask


def test_what_is_wrong_is_not_remembered(pair, memory):
    content = pair.image.read_bytes()
    pair.image.write_bytes(b"")
    os.utime(pair.image, (OLD, OLD))
    assert look_at(pair, ANY, memory).problems
    pair.image.write_bytes(content)
    os.utime(pair.image, (OLD, OLD))
    assert not look_at(pair, ANY, memory).problems


def test_a_name_that_is_no_text_is_looked_at_as_any_other(pair, memory):
    odd = pair.image.with_name("caf\udce9.png")
    pair.image.rename(odd)
    assert look_at(Pair(odd, pair.mask, "g"), ANY, memory).problems == ()


def test_the_brightest_of_16_bits_is_remembered_apart_from_alpha(pair, memory):
    values = np.array([[3, 700]], np.uint16)
    Image.fromarray(values).save(pair.image)
    os.utime(pair.image, (OLD, OLD))
    for _ in range(2):
        assert look_at(pair, ANY, memory).image.brightest == 700


def test_other_bands_are_looked_at_anew(pair, memory):
    assert look_at(pair, ANY, memory).problems == ()
    (problem,) = look_at(pair, DataConfig(bands=(4,)), memory).problems
    assert problem.cause == "has 3 bands, and --bands asks for number 4"
