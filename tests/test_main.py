import subprocess
import sys
from importlib.metadata import entry_points

import pytest

from keras_unet.__main__ import COMMANDS, main


def test_the_commands_are_listed_a_line_each_without_loading_tensorflow():
    command = [sys.executable, "-X", "importtime", "-m", "keras_unet"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert [line.split()[2] for line in lines[: len(COMMANDS)]] == [
        f"keras_unet.{name}" for name in COMMANDS
    ]
    assert "tensorflow" not in done.stderr
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_that_is_named_is_run_with_its_words(name, capsys):
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    assert f"python -m keras_unet.{name}" in capsys.readouterr().out


def test_an_unknown_command_is_named_beside_those_that_there_are(capsys):
    assert main(["trian"]) == 2
    said = capsys.readouterr()
    assert "there is no command trian" in said.err
    assert "keras_unet.train" in said.out


def test_the_script_of_the_distribution_s_name_is_the_same_command():
    scripts = entry_points(group="console_scripts", name="keras-unet-studio")
    assert {script.load() for script in scripts} == {main}
