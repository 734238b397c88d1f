from typing import get_args

import pytest

from keras_unet.config import PredictConfig, PresetName
from keras_unet.presets import preset, preset_in


@pytest.mark.parametrize("name", get_args(PresetName))
def test_every_preset_goes_by_its_name(name):
    assert preset(name).preset == name


def test_an_unknown_preset_is_an_error():
    with pytest.raises(KeyError):
        preset("cars")


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ([], "demo"),
        (["--preset", "carvana"], "carvana"),
        (["--epochs", "3", "--preset=hela"], "hela"),
        # What parses the command line says what is wrong with it.
        (["--preset", "cars"], "demo"),
    ],
)
def test_the_preset_of_a_command_line_gives_its_defaults(words, name):
    assert preset_in(words).preset == name


@pytest.mark.parametrize(
    ("name", "resolution", "padding", "normalization", "elastic"),
    [("isbi", 1.0, "valid", "batch", 10.0), ("hela", 0.5, "same", "group", 0.0)],
)
def test_the_papers_presets_see_tiles(
    name, resolution, padding, normalization, elastic
):
    config = preset(name)
    assert config.data.tiles is not None
    assert config.data.resolution == resolution
    assert (config.model.padding, config.model.normalization) == (
        padding,
        normalization,
    )
    assert config.augment.elastic_pixels == elastic
    assert config.loss.weight_map == (name == "hela")


@pytest.mark.parametrize("targets", [["--targets", "borders"], ["--targets=borders"]])
def test_with_targets_borders_nothing_else_parts_cells(targets):
    config = preset_in(["--preset", "hela", *targets])
    assert not config.loss.weight_map
    assert config.predict == PredictConfig()
    assert preset("hela").predict.boundary_threshold == 0.5


def test_without_weights_the_threshold_is_the_usual_one():
    config = preset_in(["--preset", "hela", "--no-weight-map"])
    assert (config.predict.threshold, config.predict.boundary_threshold) == (0.5, 0.5)


def test_with_an_image_size_whole_images_are_seen():
    config = preset_in(["--preset", "isbi", "--image-size", "32", "48"])
    assert config.data.tiles is None
