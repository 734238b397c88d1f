import pytest

from keras_unet.data.mask_ids import ids_of


def masks(*ids: range | tuple[int, ...], pieces: int = 1) -> list[dict[int, int]]:
    return [{0: 1, **dict.fromkeys(mask, pieces)} for mask in ids]


@pytest.mark.parametrize(
    ("found", "wide", "meaning"),
    [
        (masks((1, 2), (2, 3), pieces=3), True, "classes"),
        (masks((1, 2), (2, 3), (1, 3)), True, "either"),
        (masks((1, 2), (1, 2)), True, "either"),
        (masks((1, 2), (2, 3)), False, "classes"),
        (masks((1, 5), (300,)), True, "instances"),
        (masks(range(1, 9), range(1, 12)), False, "instances"),
        (masks(range(1, 9), range(1, 9)), False, "classes"),
        (masks(range(40, 90), range(60, 99)), True, "instances"),
        (masks(range(40, 90), range(60, 99)), False, "unknown"),
        (masks(range(1, 150), range(1, 150), pieces=4), False, "classes"),
        (masks(range(1, 400), range(401, 600), pieces=4), True, "unknown"),
        (masks(()), True, "classes"),
    ],
)
def test_ids_are_told_by_their_pieces_and_how_they_recur(found, wide, meaning):
    assert ids_of(found, 0, wide) == meaning
