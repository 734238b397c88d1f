"""The drawn U shows the network it was given."""

import itertools

import pytest
from PIL import Image

from keras_unet.config import UNetConfig
from keras_unet.figures.network import feature_shapes, network_figure, place
from keras_unet.model.unet import build_network, build_unet


def tiny(**options):
    return UNetConfig(filters=2, depth=2, **options)


def test_sizes_are_those_the_image_goes_through():
    shapes = feature_shapes(build_unet(tiny()), (32, 48))
    assert shapes["down1_pool"] == (8, 12, 4)
    assert shapes["logits"] == (32, 48, 1)


def test_unpadded_convolutions_show_the_sizes_they_leave():
    shapes = feature_shapes(build_unet(tiny(padding="valid")), (60, 60))
    assert shapes["down0_conv2"][:2] == (56, 56)


def test_each_level_has_a_row_on_both_sides():
    left, right = place(feature_shapes(build_unet(tiny()), (32, 48)))
    assert [row[-1].layer for row in left] == [
        "down0_conv2",
        "down1_conv2",
        "bottom_conv2",
    ]
    assert [row[0].layer for row in right] == ["up1_skip", "up0_skip"]


def test_no_two_boxes_overlap():
    left, right = place(feature_shapes(build_unet(tiny()), (32, 48)))
    for down, up in zip(left, reversed(right), strict=False):
        row = [*down, *up]
        assert all(a.right < b.left for a, b in itertools.pairwise(row))


def test_border_and_crop_are_left_out_where_they_do_nothing():
    left, right = place(feature_shapes(build_network(tiny()), (32, 48)))
    names = {box.layer for row in [*left, *right] for box in row}
    assert not names & {"border", "logits_crop"}


@pytest.mark.usefixtures("sharp")
@pytest.mark.parametrize(
    "config",
    [
        tiny(),
        tiny(padding="valid", classes=3, channels=1),
        tiny(stem_stride=2),
        tiny(stem_stride=2, upsampling="bilinear", normalization="batch"),
        UNetConfig(filters=2, depth=1),
    ],
)
def test_every_kind_of_network_is_drawn(tmp_path, config):
    network_figure(build_network(config), (30, 46), tmp_path / "u.png")
    with Image.open(tmp_path / "u.png") as image:
        assert min(image.size) > 400
