import shutil

import pytest
import tiny_run
from splits import split_of

from keras_unet.errors import BadData
from keras_unet.export.verify import examine, judge


def measured(**of_float16):
    good = {"max_difference": 0.0, "dice": 0.98}
    return {"keras": dict(good), "float16": good | of_float16}


def test_a_file_as_good_as_the_network_passes():
    judge(measured())


@pytest.mark.parametrize("difference", [0.006, float("nan")])
def test_a_difference_above_the_limit_is_an_error_with_both_numbers(difference):
    with pytest.raises(BadData, match=r"float16 differs .* by .*at most 5e-03"):
        judge(measured(max_difference=difference))


@pytest.mark.parametrize("dice", [0.9779, float("nan")])
def test_a_lower_dice_is_an_error_with_both_scores(dice):
    with pytest.raises(BadData, match=r"float16 has Dice .* network 0\.9800"):
        judge(measured(dice=dice))


def test_quantised_files_are_judged_by_dice_alone():
    judge({"keras": {"dice": 0.98}, "int8": {"dice": 0.971, "max_difference": 0.9}})


def test_a_file_that_cannot_be_opened_is_an_error_that_says_why(tmp_path):
    run = tiny_run.trained()
    config = run.load_config()
    broken = shutil.copy(run.config_file, tmp_path / "model_float32.tflite")
    pairs = split_of(config.data).validation
    with pytest.raises(BadData, match="could not be measured in a fresh interpreter"):
        examine(run, config, pairs, {"float32": broken})
