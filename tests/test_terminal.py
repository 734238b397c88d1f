import subprocess
import sys

import pytest

from keras_unet.errors import BadData, BadUsage
from keras_unet.terminal import run_verb


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
    ],
)
def test_what_a_user_can_cause_is_one_message_and_a_status(
    error, status, message, capsys
):
    assert run_verb(raising(error)) == status
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.out == ""


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


def test_the_old_package_of_the_same_import_name_is_diagnosed(tmp_path):
    info = tmp_path / "keras_unet-0.1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: keras-unet\nVersion: 0.1.2\n"
    )
    code = (
        f"import sys; sys.path.append({str(tmp_path)!r})\n"
        "from keras_unet.terminal import run_verb\n"
        "sys.exit(run_verb(lambda: 0))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    assert "pip uninstall keras-unet" in done.stderr
