import pytest

from keras_unet.data.mask_ids import ids_of


def pieces_of(*ids: range | tuple[int, ...], pieces: int = 1) -> list[dict[int, int]]:
    return [{0: 1, **dict.fromkeys(mask, pieces)} for mask in ids]


@pytest.mark.parametrize(
    ("found", "wide", "meaning"),
    [
        (pieces_of((1, 2), (2, 3), pieces=3), True, "classes"),
        (pieces_of((1, 2), (2, 3), (1, 3)), True, "either"),
        (pieces_of((1, 2), (1, 2)), True, "either"),
        (pieces_of((1, 5), (300,)), True, "either"),
        (pieces_of((1, 2), (2, 3)), False, "classes"),
        (pieces_of((1, 2, 3), (1, 2), (1,)), False, "either"),
        (pieces_of((1, 2), (1, 2), (1,)), False, "classes"),
        (pieces_of(range(1, 9), range(1, 12)), False, "instances"),
        (pieces_of(range(1, 9), range(1, 9), range(1, 10)), False, "classes"),
        (pieces_of(range(1, 9), range(1, 12), pieces=2), False, "either"),
        (pieces_of(range(1, 13)), False, "either"),
        (pieces_of(range(40, 90), range(60, 99)), True, "instances"),
        (pieces_of(range(40, 90), range(60, 99)), False, "unknown"),
        (pieces_of(range(1, 150), range(1, 150), pieces=4), False, "classes"),
        (pieces_of(range(1, 400), range(401, 600), pieces=4), True, "unknown"),
        (pieces_of(()), True, "classes"),
    ],
)
def test_ids_are_told_by_their_pieces_and_how_they_recur(found, wide, meaning):
    assert ids_of(found, 0, wide) == meaning
