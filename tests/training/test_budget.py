import re
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from splits import split_of
from tiny_fit import in_pieces, make_config, plan_of

from keras_unet.config import Config, FitConfig
from keras_unet.data.pair import Pair
from keras_unet.data.pairs import Split
from keras_unet.data.records import write_records
from keras_unet.data.records_index import find_recorded
from keras_unet.data_config import DataConfig
from keras_unet.files import read_rows
from keras_unet.presets import preset_in
from keras_unet.run_folder import RunFolder
from keras_unet.training import budget
from keras_unet.training.budget import fitting_size, with_fitting_size
from keras_unet.training.fit import compile_network, fit

OWN = np.array([1280.0, 1918.0])


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    made = make_config(tmp_path_factory.mktemp("budget") / "data")
    return replace(made, fit=replace(made.fit, minutes=1.0, epochs=1))


def size_for(minutes, step=1.0, own=OWN, images=60):
    pairs = [Pair(f"{n}.png", f"{n}.png", "a") for n in range(images)]
    config = Config(
        data=DataConfig(image_size=(320, 480)), fit=FitConfig(epochs=10, batch_size=4)
    )
    split = Split(tuple(pairs), (), ())
    return fitting_size(config, split, step, 60 * minutes, own)


def rates(folder):
    return [
        float(r["learning_rate"]) for r in read_rows(RunFolder(folder).history_file)
    ]


@pytest.mark.slow
def test_a_stopped_training_of_minutes_goes_on_and_ends_with_its_schedule(
    config, tmp_path
):
    def stop(line):
        if str(line).startswith("epoch 1:"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(plan_of(config, tmp_path, stop))
    before = rates(tmp_path)
    assert len(before) == 1

    nearly_over = time.monotonic() - 45.0
    progress = fit(replace(plan_of(config, tmp_path), began=nearly_over))
    assert progress.epoch > 1
    assert progress.seconds == pytest.approx(60 * config.fit.minutes)
    assert rates(tmp_path)[:1] == before
    assert rates(tmp_path)[-1] < 0.1 * config.fit.learning_rate

    assert fit(plan_of(config, tmp_path)).epoch == progress.epoch


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("changed", [lambda whole: whole, in_pieces])
def test_the_first_validation_is_made_where_the_time_is_up_before(
    config, changed, precision, tmp_path
):
    given = replace(config, fit=replace(config.fit, precision=precision))
    plan = plan_of(changed(given), tmp_path)
    assert fit(replace(plan, began=time.monotonic() - 3600)).epoch == 1
    # The end of its course.
    assert rates(tmp_path) == [0.0]


@pytest.mark.parametrize("changed", [lambda whole: whole, in_pieces])
def test_a_validation_beyond_the_minutes_is_the_last_one(
    config, changed, tmp_path, monkeypatch
):
    said = []
    plan = replace(plan_of(changed(config), tmp_path, said.append), began=0.0)
    # A step or what lies between two takes a second, and the validation a thousand.
    times = iter([*range(2 * plan.steps + 1), *[1000] * 100])
    clock = SimpleNamespace(monotonic=lambda: next(times))
    monkeypatch.setattr(budget, "time", clock)
    progress = fit(plan)
    assert (progress.epoch, progress.seconds) == (1, 60)
    assert [line for line in said if line.endswith(" s, about 0 s left")]
    assert RunFolder(tmp_path).weights_file.is_file()
    assert fit(plan).epoch == 1


def test_four_times_the_time_has_images_of_twice_the_pixels():
    starting = budget._STARTING / 60
    # 10 epochs of 15 steps of a second.
    assert size_for(2.5 + starting) == (320, 480)
    assert size_for(40 + starting) == (640, 960)
    height, width = size_for(10 + starting)
    assert height * width == pytest.approx(2 * 320 * 480, rel=0.03)


def test_images_are_no_smaller_than_half_and_no_larger_than_their_own():
    assert size_for(0.01) == (160, 240)
    assert size_for(10_000) == (1280, 1920)
    assert size_for(10_000, own=OWN / 8) == (320, 480)


def test_steps_are_timed_to_find_the_size(config, tmp_path):
    plan, began = plan_of(config, tmp_path), time.monotonic()

    def size_within(minutes, epochs):
        given = replace(config, fit=replace(config.fit, minutes=minutes, epochs=epochs))
        parts = (given, plan.split, plan.device, began)
        return with_fitting_size(compile_network, *parts).data.image_size

    # Pairs of 60×90 pixels, in the shape 16×24.
    assert size_within(600.0, epochs=1) == (60, 90)
    assert size_within(0.01, epochs=10**6) == (8, 12)


def test_records_are_not_enlarged(config, tmp_path):
    plan, said = plan_of(config, tmp_path), []
    pairs = split_of(config.data).train
    write_records(pairs, config.data, tmp_path / "records")
    recorded = Split(find_recorded(tmp_path / "records").pairs, (), ())
    given = replace(config, fit=replace(config.fit, minutes=600.0))
    parts = (given, recorded, plan.device, time.monotonic(), said.append)
    assert with_fitting_size(compile_network, *parts).data.image_size == (16, 24)
    (line,) = said
    assert re.search(r"records: --minutes .* write records with --image-size \d+", line)


def test_an_image_size_that_is_given_stays():
    assert preset_in(["--minutes", "3"]).fit.fit_image_size
    assert not preset_in(["--minutes", "3", "--image-size=32", "48"]).fit.fit_image_size
