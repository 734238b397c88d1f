from typing import get_args

import pytest

from keras_unet.config import PresetName
from keras_unet.errors import BadData, BadUsage
from keras_unet.presets import preset
from keras_unet.run_folder import RunFolder


@pytest.mark.parametrize("name", get_args(PresetName))
def test_a_config_comes_back_from_its_folder(tmp_path, name):
    run = RunFolder(tmp_path / "run")
    run.save_config(preset(name))
    assert run.load_config() == preset(name)


def test_a_folder_without_config_is_no_run(tmp_path):
    with pytest.raises(BadData, match=r"is not a run folder: it has no config\.json"):
        RunFolder(tmp_path).load_config()


def test_a_config_of_another_version_is_named(tmp_path):
    (tmp_path / "config.json").write_text('{"colour": 3}')
    with pytest.raises(BadData, match="Config has no field colour"):
        RunFolder(tmp_path).load_config()


def test_a_run_without_weights_says_how_to_get_them(tmp_path):
    with pytest.raises(BadData, match=r"model\.weights\.h5.*--resume"):
        RunFolder(tmp_path).require_weights()


def test_a_run_in_the_way_is_refused_with_both_ways_on(tmp_path):
    run = RunFolder(tmp_path)
    run.weights_file.write_bytes(b"")
    with pytest.raises(BadUsage, match=r"--resume.*--overwrite"):
        run.require_free(overwrite=False)


def test_clearing_leaves_what_no_run_wrote(tmp_path):
    run = RunFolder(tmp_path)
    run.save_config(preset("demo"))
    (tmp_path / "notes.txt").write_text("mine")
    run.clear()
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
