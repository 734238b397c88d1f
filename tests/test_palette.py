import pytest

from keras_unet.data.palette import grey_levels


def test_of_greys_there_is_a_level_for_every_index():
    levels = grey_levels(bytes([7, 7, 7, 250, 250, 250]))
    assert len(levels) == 256
    assert list(levels[:2]) == [7, 250]


@pytest.mark.parametrize("palette", [b"", bytes([0, 0, 0, 1, 2, 3])])
def test_without_greys_alone_there_are_no_levels(palette):
    assert grey_levels(palette) is None
