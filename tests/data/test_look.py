import functools
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_unet.data import look
from keras_unet.data.look import Look, LookCache, look_at
from keras_unet.data.pair import Fingerprint, Pair
from keras_unet.data_config import DataConfig

ANY = DataConfig()
OLD = 1_600_000_000
"""A time of change long before any test, in seconds."""


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "keras_unet"


@pytest.fixture
def memory(cache):
    with opened() as memory:
        yield memory


def opened():
    return closing(LookCache())


def ask(memory, key, number):
    """Returns what is remembered under the key, or the number, which then is."""
    return memory.once(key, lambda: Look(Fingerprint(number, 0, ""))).fingerprint.size


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


def test_an_image_of_fractions_cannot_be_used(pair, memory):
    Image.fromarray(np.full((6, 8), 0.5, np.float32)).save(pair.image, "TIFF")
    (problem,) = look_at(pair, ANY, memory).problems
    assert "holds fractions" in problem.cause


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


def test_what_is_kept_is_there_for_the_next_command():
    with opened() as memory:
        assert ask(memory, "a", 1) == 1
    with opened() as memory:
        assert [ask(memory, "a", 2), ask(memory, "b", 3)] == [1, 3]


def test_without_a_key_nothing_is_remembered(memory):
    assert [ask(memory, None, 1), ask(memory, None, 2)] == [1, 2]


def test_a_damaged_file_is_made_anew(cache):
    with opened() as memory:
        ask(memory, "a", 1)
    (file,) = cache.iterdir()
    file.write_bytes(b"no database" * 1000)
    with opened() as memory:
        ask(memory, "b", 2)
    with opened() as memory:
        assert [ask(memory, "a", 3), ask(memory, "a", 4)] == [3, 3]


def test_a_damaged_row_is_looked_at_again(cache):
    with opened() as memory:
        ask(memory, "a", 1)
        ask(memory, "b", 2)
    (file,) = cache.iterdir()
    with closing(sqlite3.connect(file)) as table, table:
        table.execute("UPDATE looks SET found = substr(found, 1, 9) WHERE key = 'a'")
    with opened() as memory:
        assert [ask(memory, "a", 3), ask(memory, "a", 4)] == [3, 3]
        assert ask(memory, "b", 5) == 2


def test_where_nothing_can_be_kept_nothing_is_remembered(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with opened() as memory:
        assert [ask(memory, "a", 1), ask(memory, "a", 2)] == [1, 2]


def test_two_processes_may_write_at_once(cache, memory):
    ask(memory, "a", 1)
    with opened() as other:
        ask(other, "b", 2)
    ask(memory, "c", 3)
    assert [ask(memory, key, 4) for key in "abc"] == [1, 2, 3]


def test_without_a_home_nothing_is_remembered(monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME")

    def homeless():
        raise RuntimeError("no home")

    monkeypatch.setattr(Path, "home", homeless)
    with opened() as memory:
        assert [ask(memory, "a", 1), ask(memory, "a", 2)] == [1, 2]


def test_a_file_that_another_process_holds_stays_its_own(cache, monkeypatch):
    with opened() as memory:
        ask(memory, "a", 1)
    (file,) = cache.iterdir()
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    really = sqlite3.connect
    quick = functools.partial(really, timeout=0.1)
    monkeypatch.setattr(sqlite3, "connect", quick)
    with opened() as memory:
        assert ask(memory, "a", 2) == 2
    other.close()
    with opened() as memory:
        assert ask(memory, "a", 3) == 1
