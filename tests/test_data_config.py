import time
from pathlib import Path

import pytest

from keras_unet.config import Config
from keras_unet.data_config import DataConfig, find_groups
from keras_unet.errors import BadUsage


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"image_size": (0, 8)}, "--image-size must be at least 1 1"),
        ({"images": "a"}, "--images and --masks go together"),
        ({"resolution": 0.0}, "--resolution must be above 0 and at most 4, not 0.0"),
        ({"tile_size": (0, 16)}, "--tile-size must be at least 1 1, not 0 16"),
        ({"tile_overlap": 1.0}, "--tile-overlap must be 0 to 0.75, not 1.0"),
        (
            {"class_values": (0, 1), "foreground_above": 3},
            "--class-values and --foreground-above exclude each other",
        ),
        (
            {"class_values": (0, 1), "mask_kind": "binary"},
            "--class-values and --mask-kind binary exclude each other: give one of "
            r"them \(--mask-kind auto, where a preset says another\)",
        ),
        (
            {"mask_kind": "classes", "foreground_above": 3},
            "--mask-kind classes and --foreground-above exclude each other",
        ),
        (
            {"class_values": (0, 1, 3), "ignore_values": (255, 3)},
            "--class-values and --ignore-values both name 3",
        ),
        ({"foreground_tiles": 1.5}, "--foreground-tiles must be 0 to 1, not 1.5"),
    ],
)
def test_a_wrong_value_is_refused_with_its_flag(given, message):
    with pytest.raises(BadUsage, match=message):
        DataConfig(**given)


def test_pieces_have_a_size_where_images_keep_their_own():
    assert DataConfig().network_size == (256, 384)
    assert DataConfig().seen_size((1280, 1918)) == (256, 384)
    pieces = DataConfig(resolution=0.5)
    assert pieces.tiles == pieces.network_size == (256, 256)
    assert pieces.seen_size((1281, 1918)) == (640, 959)
    assert pieces.seen_size((1, 1)) == (1, 1)
    both = DataConfig(image_size=(640, 960), tile_size=(128, 64))
    assert (both.network_size, both.seen_size((9, 9))) == ((128, 64), (640, 960))


def test_folders_may_be_given_as_text():
    assert DataConfig(images="a", masks="b").masks == Path("b")
    assert Config(output="run").output == Path("run")


def test_the_first_group_counts_or_all_that_is_found():
    names = ["car1_02.png", "é\udce9_3.png", "x"]
    assert find_groups(r"(.+)_\d", names) == ["car1", "é\udce9", None]
    assert find_groups(r"^\w+?_", names[:1]) == ["car1_"]
    assert find_groups(r"(y)?x", ["x"]) == [None]


def test_no_names_have_no_groups():
    assert find_groups("a", []) == []


@pytest.mark.parametrize("pattern", ["(", "a{99999999999}", "(" * 5000])
def test_what_is_no_expression_is_refused(pattern):
    with pytest.raises(BadUsage, match="is no regular expression"):
        find_groups(pattern, ["a"])


def test_an_expression_that_takes_for_ever_is_refused_in_seconds():
    began = time.monotonic()
    with pytest.raises(BadUsage, match=r"--group-by \(a\+\)\+\$ takes more than 1 s"):
        find_groups("(a+)+$", ["a" * 40 + "b"])
    assert time.monotonic() - began < 20
