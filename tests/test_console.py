import os
import re
import signal
import socket
import subprocess
import sys

import numpy as np
import pytest

from keras_unet.config import Config, FitConfig, UNetConfig
from keras_unet.console import (
    checked,
    held_back_stderr,
    is_installed,
    parse,
    progress_bar,
    run_verb,
)
from keras_unet.data_config import DataConfig
from keras_unet.errors import BadData, BadUsage, Terminated
from keras_unet.predict import Arguments


def test_stderr_is_held_back_unless_the_block_fails():
    code = (
        "import os\n"
        "from keras_unet.console import held_back_stderr\n"
        "with held_back_stderr(): os.write(2, b'chatter')\n"
        "with held_back_stderr(): os.write(2, b'cause'); raise SystemExit(3)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (3, "cause")


def test_held_back_stderr_can_be_nested():
    with held_back_stderr(), held_back_stderr():
        pass


def test_threads_at_the_same_time_leave_stderr_as_it_was():
    code = (
        "import os, threading\n"
        "from keras_unet.console import held_back_stderr\n"
        "barrier = threading.Barrier(4)\n"
        "def hold():\n"
        "    barrier.wait()\n"
        "    with held_back_stderr(): os.write(2, b'chatter')\n"
        "threads = [threading.Thread(target=hold) for _ in range(4)]\n"
        "[thread.start() for thread in threads]\n"
        "[thread.join() for thread in threads]\n"
        "os.write(2, b'after')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr == "after"


@pytest.mark.parametrize(
    ("words", "said"),
    [(["--output", ""], "a word is empty"), (["--output="], "--output= has no value")],
)
def test_a_variable_that_is_not_set_is_not_the_working_directory(words, said, capsys):
    with pytest.raises(SystemExit) as ended:
        parse(Arguments, ["run", "images", *words])
    assert ended.value.code == 2
    assert f"error: {said}" in capsys.readouterr().err


def test_a_colour_is_a_number_on_the_command_line():
    config = parse(DataConfig, ["--class-values", "0x0000ff", "7"])
    assert config.class_values == (255, 7)


def raising(error):
    def verb():
        raise error

    return verb


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (BadUsage("--batch-size is wrong"), 2, "error: --batch-size is wrong\n"),
        (BadData("a.jpg: truncated"), 1, "error: a.jpg: truncated\n"),
        (OSError(28, "No space left on device", "run"), 1, "No space left on device"),
        (KeyboardInterrupt("Go on with: --resume"), 130, "interrupted. Go on with"),
        (Terminated("Go on with: --resume"), 143, "terminated. Go on with: --resume"),
    ],
)
def test_what_a_user_can_cause_is_one_message_and_a_status(
    error, status, message, capsys
):
    assert run_verb(raising(error)) == status
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.out == ""


def test_sigterm_ends_a_command_once_it_has_tidied_up(capsys):
    tidied = []

    def verb():
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            signal.raise_signal(signal.SIGTERM)
            tidied.append(True)

    before = signal.getsignal(signal.SIGTERM)
    assert run_verb(verb) == 143
    assert tidied
    assert capsys.readouterr().err == "terminated\n"
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_fault_of_ours_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        run_verb(raising(ZeroDivisionError()))


@pytest.mark.parametrize("name", ["train", "evaluate", "predict", "export", "data"])
def test_help_loads_neither_tensorflow_nor_matplotlib(name):
    command = [sys.executable, "-X", "importtime", "-m", f"keras_unet.{name}", "--help"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    loaded = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines()}
    assert "tyro" in loaded
    assert not {"tensorflow", "keras", "matplotlib"} & loaded


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    "code",
    [
        "from keras_unet.train import main; main(['--help'])",
        "from keras_unet.evaluate import main; main(['--help'])",
        "from keras_unet.console import run_verb; run_verb(lambda: print('a'))",
    ],
)
def test_a_command_that_nobody_reads_on_ends_quietly(code, unbuffered, monkeypatch):
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert done.stderr == ""
    # By argparse, which tyro 0.9 has print --help, nothing is noticed.
    assert done.returncode == 1 or (done.returncode == 0 and "--help" in code)


def test_a_command_ends_quietly_where_nobody_reads_its_errors():
    reader, writer = os.pipe()
    os.close(reader)
    code = (
        "from keras_unet.train import main; main(['--minutes', '-1'])\n"
        "raise SystemExit('went on')"
    )
    done = subprocess.run([sys.executable, "-c", code], stderr=writer)
    os.close(writer)
    assert done.returncode in (1, 2)


def test_an_end_of_another_kind_of_pipe_is_an_error(capsys):
    def verb():
        here, there = socket.socketpair()
        there.close()
        with here:
            here.send(b"to nobody")

    assert run_verb(verb) == 1
    assert capsys.readouterr().err == "error: [Errno 32] Broken pipe\n"


def test_the_old_package_of_the_same_import_name_is_diagnosed(tmp_path):
    info = tmp_path / "keras_unet-0.1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: keras-unet\nVersion: 0.1.2\n"
    )
    code = (
        f"import sys; sys.path.append({str(tmp_path)!r})\n"
        "from keras_unet.console import run_verb\n"
        "sys.exit(run_verb(lambda: 0))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    assert "pip uninstall keras-unet" in done.stderr


def test_the_bar_shows_how_many_a_second_and_the_time_left(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    with progress_bar("images") as progress:
        for done in range(5):
            progress(done, 10)
    shown = capsys.readouterr().err
    assert re.search(r"4/10\D.*[0-9.e+]+/s.*\d+:\d\d:\d\d", shown)


def test_no_bar_is_shown_where_there_is_no_terminal(capsys):
    with progress_bar("images") as progress:
        progress(1, 2)
    assert capsys.readouterr().err == ""


def test_a_folder_of_its_name_is_no_package(tmp_path, monkeypatch):
    (tmp_path / "wandb_runs").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert is_installed("json")
    assert not is_installed("wandb_runs")
    assert not is_installed("no_such_package")


def test_a_config_of_numpy_s_numbers_and_lists_is_that_of_the_flags(tmp_path):
    size, seed = tuple(np.array([16, 24])), np.int64(3)
    data = DataConfig(image_size=size, class_values=[0, 9], data=str(tmp_path))
    config = checked(Config(data=data, fit=FitConfig(seed=seed, ema=np.float32(0.5))))
    assert config.data == DataConfig(
        image_size=(16, 24), class_values=(0, 9), data=tmp_path
    )
    assert (config.fit.seed, config.fit.ema) == (3, 0.5)
    assert type(config.fit.seed) is int


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (Config(fit=FitConfig(optimizer="adam")), r"fit.optimizer"),
        (Config(model=UNetConfig(normalization="layer")), r"model.normalization"),
        (Config(data=DataConfig(group_by=object())), r"the config"),
    ],
)
def test_a_config_that_no_flags_make_is_refused(wrong, said):
    with pytest.raises(BadUsage, match=said):
        checked(wrong)
