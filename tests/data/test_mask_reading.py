import pytest

from keras_unet.data.mask_reading import find_reading
from keras_unet.data.mask_values import MaskValues, Stats
from keras_unet.errors import BadData

RED, GREEN, WHITE = 0xFF0000, 0x00FF00, 0xFFFFFF


def grey(*levels: int) -> MaskValues:
    return MaskValues({"levels": stats(*levels)})


def coloured(*colours: int) -> MaskValues:
    return MaskValues({"colours": stats(*colours)})


def indexed(**palette: int) -> MaskValues:
    entries = {int(name[1:]): colour for name, colour in palette.items()}
    readings = {"indices": stats(*entries), "colours": stats(*entries.values())}
    return MaskValues(readings, entries)


def see_through(*colours: int, alphas: tuple[int, ...] = (0, 255), black: int = 0):
    readings = {"colours": stats(*colours), "alpha": stats(*alphas)}
    return MaskValues(readings, sees_through=black)


def stats(*values: int) -> Stats:
    return Stats(dict.fromkeys(values, 10))


@pytest.mark.parametrize(
    ("masks", "reading"),
    [
        ([grey(0, 1)], "levels"),
        ([coloured(0, RED)], "colours"),
        ([indexed(i0=0, i1=RED), indexed(i0=0, i2=GREEN)], "indices"),
        ([indexed(i0=0, i1=RED), indexed(i0=RED, i1=0)], "colours"),
        ([indexed(i0=0, i1=0)], "indices"),
        ([indexed(i0=0, i1=RED), coloured(0, RED)], "colours"),
        ([indexed(i0=0, i1=RED), grey(0, 1)], "indices"),
        ([indexed(i0=0, i1=RED, i2=WHITE), grey(0, 255)], "indices"),
        ([coloured(0, RED), grey(0, 255)], "colours"),
        ([see_through(0, WHITE)], "alpha"),
        ([see_through(0, RED, GREEN)], "colours"),
        ([see_through(0, RED, alphas=(255,))], "colours"),
    ],
)
def test_what_all_files_agree_on_is_read(masks, reading):
    assert find_reading(masks)[0] == reading


@pytest.mark.parametrize(
    ("masks", "told"),
    [
        ([see_through(0, WHITE), coloured(0, RED)], "1 have none"),
        (
            [see_through(0, RED, GREEN, black=7)],
            "7 pixels of the masks are transparent",
        ),
        ([indexed(i0=0, i1=0), indexed(i0=RED)], "different palettes"),
        ([indexed(i0=0, i1=0), coloured(0, RED)], "1 masks have no palette"),
        ([indexed(i0=0, i1=RED), grey(0, 9)], "1 have grey levels that it does not"),
        (
            [coloured(0, RED), grey(0, 1)],
            "grey levels that are none of them, such as 1",
        ),
    ],
)
def test_files_that_contradict_each_other_are_a_question(masks, told):
    with pytest.raises(BadData, match=told):
        find_reading(masks)
