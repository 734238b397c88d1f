import csv
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import forked
import keras
import numpy as np
import pytest
from PIL import Image
from small_disk import fill, small_disk
from tiny_run import make_image, write_pairs

from keras_unet import train
from keras_unet.console import is_installed, run_verb
from keras_unet.data.__main__ import main as data_main
from keras_unet.files import read_rows
from keras_unet.run_folder import RunFolder
from keras_unet.train import from_training_on, main, parse_config, run
from keras_unet.training.checkpoint import FILE


def test_before_the_first_checkpoint_there_is_nothing_to_go_on_with(tmp_path):
    with (
        pytest.raises(
            KeyboardInterrupt, match=r"^Nothing is trained yet\. Give the same"
        ),
        from_training_on(RunFolder(tmp_path), "train --resume"),
    ):
        raise KeyboardInterrupt


def test_with_a_checkpoint_there_is(tmp_path):
    (tmp_path / "checkpoint").mkdir()
    with (
        pytest.raises(KeyboardInterrupt, match=r"^Go on with: train --resume$"),
        from_training_on(RunFolder(tmp_path), "train --resume"),
    ):
        raise KeyboardInterrupt


def test_what_was_said_already_stays(tmp_path):
    with (
        pytest.raises(KeyboardInterrupt, match=r"^said$"),
        from_training_on(RunFolder(tmp_path), "train --resume"),
    ):
        raise KeyboardInterrupt("said")


SIZE = ["--image-size", "16", "24", "--filters", "2", "--depth", "1"]
FIT = ["--epochs", "2", "--batch-size", "4", "--precision", "float32"]
# Augmentation takes a third of so small a training.
STILL = ["--flip", "none", "--brightness", "0", "--contrast", "0"]
AUGMENTED = ["--flip", "horizontal", "--brightness", "0.1", "--contrast", "0.1"]
TINY = [*SIZE, *FIT, *STILL, "--dropout", "0.2", "--deterministic"]


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    write_pairs(folder, 20)
    return folder


def words(data, run, *more):
    return ["--data", str(data), "--output", str(run), *TINY, *more]


def start(data, run, *more):
    return forked.Popen(["-m", "keras_unet.train", *words(data, run, *more)])


def ended(*flags, python=()):
    command = [sys.executable, *python, "-m", "keras_unet.train", *flags]
    return subprocess.run(command, capture_output=True, text=True)


def wait_for(file, process, seconds=200):
    until = time.monotonic() + seconds
    while not file.exists():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < until
        time.sleep(0.01)


def state(run):
    with np.load(run / "checkpoint" / FILE) as arrays:
        return {
            name: arrays[name] for name in arrays.files if not name.startswith("prog")
        }


@pytest.mark.slow
def test_one_command_fills_a_run_folder(data, tmp_path, capsys):
    run = tmp_path / "run"
    assert main(words(data, run, *AUGMENTED)) == 0
    assert {path.name for path in run.iterdir()} >= {
        "config.json",
        "split.csv",
        "model.weights.h5",
        "checkpoint",
        "history.csv",
        "metrics.json",
        "per_image.csv",
        "figures",
        "saved_model",
        "tflite",
        "export_report.json",
    }
    assert {"validation", "test"} <= json.loads(
        (run / "metrics.json").read_text()
    ).keys()
    said = capsys.readouterr().out
    assert f"python -m keras_unet.predict {run}" in said


PIECES = ["--resolution", "1", "--tile-size", "16", "24"]


def test_images_of_mixed_sizes_are_learnt_in_pieces(tmp_path, capsys):
    write_mixed(tmp_path / "data")
    flags = words(tmp_path / "data", tmp_path / "run", "--formats")[:4]
    flags += [*TINY[3:], *PIECES, "--epochs", "1", "--formats"]
    assert main([*flags, "--precision", "mixed_bfloat16"]) == 0
    # What is built next in this process, in a notebook say, is not the run's.
    assert keras.mixed_precision.global_policy().name == "float32"
    assert "4 pieces, 16×24" in capsys.readouterr().out
    figures = {file.name for file in (tmp_path / "run" / "figures").iterdir()}
    assert {"data.png", "augmentation.png", "predictions.png"} <= figures
    history = (tmp_path / "run" / "history.csv").read_text()
    assert "val_dice" in history
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert 0 <= metrics["test"]["dice"] <= 1
    # What is left of the flags is what the run was made with.
    resume = ["--output", str(tmp_path / "run"), "--resume", "--epochs", "2"]
    assert main(resume) == 0


def write_mixed(folder):
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for seed, size in enumerate([(40, 50), (9, 11), (30, 70), (1, 1), (64, 16)] * 2):
        image, mask = make_image(seed, size)
        Image.fromarray(image).save(folder / f"images/p{seed}.png")
        Image.fromarray(mask * np.uint8(255)).save(folder / f"masks/p{seed}.png")


@pytest.mark.parametrize("size", [["--image-size", "8", "8"], ["--image_size=8", "8"]])
@pytest.mark.parametrize("resolution", [["--resolution", "1"], ["--resolution=1"]])
def test_two_sizes_at_which_images_are_seen_are_refused(size, resolution, capsys):
    assert main([*size, *resolution, "--data", "nowhere"]) == 2
    said = capsys.readouterr().err
    assert "--image-size and --resolution both say how large images are seen" in said


def test_onnx_without_its_extra_is_refused_before_anything_is_trained(
    tmp_path, capsys, monkeypatch
):
    # That is how Python marks what cannot be imported.
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    run = tmp_path / "run"
    assert main(["--output", str(run), "--formats", "saved_model", "onnx"]) == 2
    assert 'pip install "keras-unet-studio[onnx]"' in capsys.readouterr().err
    assert not run.exists()


@pytest.mark.slow
@pytest.mark.parametrize("tiles", [(), ("--tile-size", "16", "24")])
def test_a_weight_map_changes_the_loss_and_is_drawn(data, tmp_path, tiles):
    flags = ("--epochs", "1", "--formats", *tiles)
    losses = []
    for name, weighs in (("plain", ()), ("weighted", ("--weight-map",))):
        assert main(words(data, tmp_path / name, *flags, *weighs)) == 0
        losses.append(RunFolder(tmp_path / name).load_history()[0])
        drawn = tmp_path / name / "figures" / "weights.png"
        assert drawn.is_file() == bool(weighs)
    assert losses[0]["loss"] != losses[1]["loss"]


@pytest.mark.process
@pytest.mark.slow
def test_a_killed_training_goes_on_as_if_nothing_had_been(data, tmp_path):
    flags = ["--epochs", "4", "--checkpoint-minutes", "0.00001", "--formats"]
    flags += AUGMENTED
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert main(words(data, whole, *flags)) == 0
    process = start(data, killed, *flags)
    wait_for(killed / "checkpoint" / FILE, process)
    process.kill()
    process.communicate()
    assert process.returncode != 0, "the training was over before it was killed"
    assert main(words(data, killed, *flags, "--resume")) == 0
    expected, found = state(whole), state(killed)
    assert expected.keys() == found.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(array, found[name], err_msg=name)


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows sends Ctrl-C to a whole console")
@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_ctrl_c_and_sigterm_save_and_say_how_to_go_on(data, tmp_path, number, status):
    run = tmp_path / "run"
    process = start(data, run, "--epochs", "4000", "--formats")
    wait_for(run / "history.csv", process)
    process.send_signal(number)
    said = process.communicate(timeout=100)[0]
    assert process.returncode == status, said
    assert "--resume" in said
    assert (run / "checkpoint" / FILE).is_file()


def interrupt_at(beginning, words, times=1):
    """Returns the status of a training that is interrupted where it says that."""

    def say(line):
        if str(line).startswith(beginning):
            for _ in range(times):
                signal.raise_signal(signal.SIGINT)

    return run_verb(lambda: train.run(train.parse_config(words), say))


def test_ctrl_c_while_data_are_checked_says_that_nothing_happened(
    data, tmp_path, capsys
):
    assert interrupt_at("mask values", words(data, tmp_path / "run")) == 130
    said = capsys.readouterr().err
    assert f"Nothing was written to {tmp_path / 'run'}. Give the same command" in said
    assert not (tmp_path / "run").exists()


def test_a_second_ctrl_c_in_an_epoch_says_how_to_go_on(data, tmp_path, capsys):
    assert interrupt_at("epoch 1/2", words(data, tmp_path / "run"), times=2) == 130
    resume = f"python -m keras_unet.train --output {tmp_path / 'run'} --resume"
    assert f"interrupted. Go on with: {resume}" in capsys.readouterr().err


@pytest.mark.parametrize(
    "beginning", ["going on", "best validation", "validation: Dice", "segment images"]
)
def test_ctrl_c_after_the_last_epoch_says_how_to_go_on(finished, beginning, capsys):
    resume = ["--output", str(finished), "--resume"]
    assert interrupt_at(beginning, resume) == 130
    way_on = f"python -m keras_unet.train {' '.join(resume)}"
    assert capsys.readouterr().err == f"interrupted. Go on with: {way_on}\n"


@pytest.mark.slow
def test_after_ctrl_c_while_exporting_resume_writes_the_formats_of_the_run(
    data, tmp_path, capsys
):
    run = tmp_path / "run"
    flags = words(data, run, "--epochs", "1", "--formats", "float32")
    assert interrupt_at("exporting", flags) == 130
    way_on = ["--output", str(run), "--resume"]
    assert f"python -m keras_unet.train {' '.join(way_on)}" in capsys.readouterr().err
    assert main(way_on) == 0
    assert [file.name for file in (run / "tflite").glob("*.tflite")] == [
        "model_float32.tflite"
    ]
    assert not (run / "saved_model").exists()


def slow_to_read(folder):
    """Writes pairs that are still being read when a step of training is done."""
    size = (400, 600)
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for seed in range(40):
        image, mask = make_image(seed, size)
        Image.fromarray(image).save(folder / f"images/p{seed:02}.png")
        Image.fromarray(mask * np.uint8(255)).save(folder / f"masks/p{seed:02}.png")
    return folder


@pytest.mark.process
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs Linux")
def test_an_error_ends_a_training_on_one_core_while_images_are_read(tmp_path):
    flags = ["--data", str(slow_to_read(tmp_path / "data")), "--output"]
    flags += [str(tmp_path / "run"), *SIZE, "--learning-rate", "1e30"]
    code = (
        "import os, sys\n"
        "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from keras_unet.train import main\n"
        "sys.exit(main())\n"
    )
    process = forked.Popen(["-c", code, *flags])
    said, _ = process.communicate(timeout=100)
    assert process.returncode == 1, said
    assert "the loss became" in said


def test_a_run_that_is_being_trained_is_not_trained_by_another(data, tmp_path):
    with RunFolder(tmp_path / "run").hold():
        done = ended(*words(data, tmp_path / "run"))
    assert done.returncode == 2
    assert f"being written to by another command (process {os.getpid()}" in done.stderr


def when(beginning, do):
    """Returns a ``say`` that does that when it is told a line that begins so."""
    return lambda line: do() if str(line).startswith(beginning) else None


@pytest.mark.slow
def test_a_full_disk_ends_a_training_that_goes_on_when_there_is_room(
    data, tmp_path, capsys
):
    with small_disk(tmp_path / "disk", "20m") as disk:
        run, filling = disk / "run", disk / "filling"
        config = train.parse_config(words(data, run, "--formats"))
        say = when("epoch 1/2", lambda: fill(filling))
        assert run_verb(lambda: train.run(config, say) and 0) == 1
        resume = f"python -m keras_unet.train --output {run} --resume"
        said = capsys.readouterr().err
        assert said.startswith(f"error: {run}")
        assert said.endswith(f": No space left on device. Go on with: {resume}\n")
        assert not [*run.rglob(".*")]
        filling.unlink()
        assert main(["--output", str(run), "--resume"]) == 0
        assert epochs_of(run) == [1, 2]


def test_a_run_folder_that_disappears_ends_the_training(data, tmp_path, capsys):
    run = tmp_path / "run"
    config = train.parse_config(words(data, run))
    say = when("epoch 1/2", lambda: shutil.rmtree(run))
    assert run_verb(lambda: train.run(config, say) and 0) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"error: {run}: No such file or directory. The run folder")
    assert said.endswith(f"--output {run} --resume\n")
    assert not run.exists()


def epochs_of(run):
    with (run / "history.csv").open() as file:
        return [int(row["epoch"]) for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a run of one epoch, not exported."""
    folder = tmp_path_factory.mktemp("finished")
    write_pairs(folder / "data", 20)
    flags = words(folder / "data", folder / "run", "--epochs", "1", "--formats")
    assert main(flags) == 0
    return folder / "run"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--batch-size", "2"], "--batch-size is 4 in the run, 2 now"),
        (["--epochs", "0"], "--epochs must be 1 or more"),
        (["--seed", "3"], "--seed is 0 in the run, 3 now"),
    ],
)
def test_resume_refuses_other_settings(finished, flags, message, capsys):
    try:
        status = main(["--output", str(finished), "--resume", *flags])
    except SystemExit as ended:
        status = ended.code
    printed = capsys.readouterr()
    assert status == 2
    assert message in printed.out + printed.err


def test_resume_refuses_another_size_than_minutes_chose(finished, tmp_path, capsys):
    run = RunFolder(shutil.copytree(finished, tmp_path / "run"))
    old = run.load_config()
    fit = dataclasses.replace(old.fit, minutes=1e-9, fit_image_size=True)
    run.save_config(dataclasses.replace(old, fit=fit))
    resume = ["--output", str(run.path), "--resume", "--image-size"]
    assert main([*resume, "32", "48"]) == 2
    message = "--image-size is (16, 24) in the run, (32, 48) now"
    assert message in capsys.readouterr().err
    # That which it has may be said.
    assert main([*resume, "16", "24", "--seed", "3"]) == 2
    assert capsys.readouterr().err.endswith("is. --seed is 0 in the run, 3 now.\n")


def test_resume_without_its_checkpoint_does_not_start_over(finished, tmp_path, capsys):
    run = shutil.copytree(finished, tmp_path / "run")
    (run / "checkpoint" / "state.npz").unlink()
    before = (run / "model.weights.h5").read_bytes()
    assert main(["--output", str(run), "--resume", "--epochs", "2"]) == 1
    assert f"{run / 'checkpoint'} holds no state" in capsys.readouterr().err
    assert (run / "model.weights.h5").read_bytes() == before
    assert epochs_of(run) == [1]


def test_resume_without_its_split_makes_no_other_one(finished, tmp_path, capsys):
    run = shutil.copytree(finished, tmp_path / "run")
    (run / "split.csv").unlink()
    assert main(["--output", str(run), "--resume", "--epochs", "2"]) == 1
    assert f"{run / 'split.csv'} is missing" in capsys.readouterr().err
    assert epochs_of(run) == [1]


def test_resume_refuses_data_that_have_changed(finished, capsys):
    mask = finished.parent / "data" / "masks" / "p03.png"
    content = mask.read_bytes()
    shutil.copy(mask.with_name("p04.png"), mask)
    try:
        assert main(["--output", str(finished), "--resume"]) == 1
    finally:
        mask.write_bytes(content)
    said = capsys.readouterr().err
    assert f"{mask}: has changed since the training" in said
    assert str(finished / "split.csv") in said


@pytest.mark.slow
def test_a_config_that_leaves_open_what_was_found_in_masks_resumes(finished):
    run = RunFolder(finished)
    config = run.load_config()
    opened = dataclasses.replace(
        config.data, mask_kind="auto", foreground_above=None, class_names=()
    )
    again = dataclasses.replace(config, data=opened, resume=True)
    train.run(again, say=lambda line: None)
    assert run.load_config() == config


@pytest.mark.slow
def test_a_run_whose_images_have_moved_goes_on_where_they_are(
    finished, tmp_path, capsys
):
    shutil.copytree(finished.parent, tmp_path / "here")
    (tmp_path / "here" / "data").rename(tmp_path / "there")
    run = tmp_path / "here" / "run"
    old = RunFolder(run).load_config()
    data = dataclasses.replace(old.data, data=tmp_path / "here" / "data")
    RunFolder(run).save_config(dataclasses.replace(old, data=data))
    resume = ["--output", str(run), "--resume"]
    assert main(resume) == 1
    said = capsys.readouterr().err
    assert f"{tmp_path / 'here' / 'data'}: there is no such folder. Where" in said
    assert f"--output {run} --resume --data DIR" in said
    there = [f"--{kind}={tmp_path / 'there' / kind}" for kind in ("images", "masks")]
    assert main([*resume, *there, "--epochs", "2"]) == 0
    assert "images have moved: " in capsys.readouterr().out
    assert len(RunFolder(run).load_history()) == 2
    data = RunFolder(run).load_config().data
    assert (data.data, data.images) == (None, tmp_path / "there" / "images")
    rows = read_rows(run / "split.csv")
    before = read_rows(finished / "split.csv")
    assert [row["image_sha256"] for row in rows] == [
        row["image_sha256"] for row in before
    ]
    assert {Path(row["mask"]).parent for row in rows} == {tmp_path / "there" / "masks"}
    # From here on it is found.
    assert main(resume) == 0


@pytest.mark.parametrize(
    ("held", "found"),
    [((), "is no folder"), (("split.csv",), "has no config.json")],
)
def test_resume_where_there_is_no_run_is_refused_before_anything_is_drawn(
    tmp_path, held, found
):
    run = tmp_path / "exports" / "rum"
    for name in held:
        run.mkdir(parents=True)
        (run / name).write_text("image,part\n")
    done = ended("--output", str(run), "--resume")
    assert done.returncode == 2
    assert f"no run in --output {run}, which {found}" in done.stderr
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [*held]


@pytest.mark.slow
def test_epochs_may_grow_and_not_shrink(finished, capsys):
    resume = ["--output", str(finished), "--resume", "--epochs"]
    assert main([*resume, "2"]) == 0
    with (finished / "history.csv").open() as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["1", "2"]
    assert main([*resume, "1"]) == 2
    assert "--epochs is 2 in the run and may only grow" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["tensorboard", "mlflow", "wandb"])
def test_a_log_whose_extra_is_missing_is_refused_before_anything_is_read(
    name, tmp_path, capsys
):
    if is_installed(name):
        pytest.skip(f"the extra {name} is installed")
    assert main(["--data", str(tmp_path / "nowhere"), "--log", name]) == 2
    said = capsys.readouterr().err
    wanted = f'pip install "keras-unet-studio[{name}]"'
    assert said == f"error: --log {name} needs {name}, not installed: {wanted}\n"


@pytest.mark.slow
def test_logs_cache_and_checkpoints_may_change_when_a_run_goes_on(finished, capsys):
    changed = ["--log", "--cache", "none", "--checkpoint-minutes", "3"]
    assert main(["--output", str(finished), "--resume", *changed]) == 0
    config = RunFolder(finished).load_config()
    found = config.fit.log, config.data.cache, config.fit.checkpoint_minutes
    assert found == ((), "none", 3.0)
    assert "cache  none, every image is read" in capsys.readouterr().out


@pytest.mark.slow
def test_a_run_is_followed_from_its_first_epoch_to_its_scores(data, tmp_path):
    if not (is_installed("mlflow") and is_installed("wandb")):
        pytest.skip("needs the extras mlflow and wandb")
    run = tmp_path / "run"
    flags = words(data, run, "--formats", "--log", "tensorboard", "mlflow", "wandb")
    done = ended(*flags)
    assert done.returncode == 0, done.stderr
    assert "left out" not in done.stdout
    (dice,) = run.glob("logs/mlruns/*/*/metrics/test/dice")
    expected = json.loads((run / "metrics.json").read_text())["test"]["dice"]
    assert float(dice.read_text().split()[1]) == expected
    (saved,) = run.glob("logs/wandb/offline-run-*/*.wandb")
    assert b"test/dice" in saved.read_bytes()
    assert list(run.glob("logs/events*"))


def test_records_without_their_images_are_trained_on_and_said(data, tmp_path, capsys):
    records = tmp_path / "records"
    assert data_main(["records", str(data), "--output", str(records)]) == 0
    shutil.rmtree(data)
    assert main(words(records, tmp_path / "run", "--epochs", "1")) == 0
    said = capsys.readouterr().out
    assert "20 images behind the records are gone" in said
    assert f"python -m keras_unet.train --output {tmp_path / 'run'} --resume" in said
    assert (tmp_path / "run" / "model.weights.h5").is_file()


def test_more_classes_than_the_masks_hold_are_refused(data, tmp_path, capsys):
    assert main(words(data, tmp_path / "run", "--classes", "3")) == 2
    assert "--classes 3 is more than the 2" in capsys.readouterr().err


def test_a_run_in_the_way_is_refused_and_kept(data, tmp_path, capsys):
    run = tmp_path / "run"
    run.mkdir()
    (run / "model.weights.h5").write_text("mine")
    assert main(words(data, run)) == 2
    assert "--resume" in capsys.readouterr().err
    assert (run / "model.weights.h5").read_text() == "mine"


def test_bad_data_leaves_no_run_folder(data, tmp_path, capsys):
    (data / "masks" / "p03.png").unlink()
    assert main(words(data, tmp_path / "run")) == 1
    assert "p03.png" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_bad_data_leaves_the_run_that_was_to_be_overwritten(data, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "model.weights.h5").write_text("{}")
    weights = "--class-weights", "1", "2", "3"
    assert main(words(data, run, "--overwrite", *weights)) == 2
    (data / "masks" / "p03.png").write_bytes(b"")
    assert main(words(data, run, "--overwrite")) == 1
    assert (run / "model.weights.h5").read_text() == "{}"


def test_a_disk_too_small_for_the_cache_leaves_the_run_that_was_to_be_overwritten(
    data, tmp_path, capsys
):
    with small_disk(tmp_path / "disk", "16k") as disk:
        run = disk / "run"
        run.mkdir()
        (run / "model.weights.h5").write_text("{}")
        assert main(words(data, run, "--overwrite", "--cache", "disk")) == 2
        assert "the cache needs" in capsys.readouterr().err
        assert (run / "model.weights.h5").read_text() == "{}"


@pytest.mark.parametrize("name", ["images", "masks/runs/a"])
def test_a_run_folder_among_the_images_is_refused(data, name, capsys):
    before = sorted(data.rglob("*"))
    assert main(words(data, data / name)) == 2
    assert "lies among the images and masks of" in capsys.readouterr().err
    assert sorted(data.rglob("*")) == before


@pytest.mark.parametrize("how", [("--data", "."), ("--pairs", "pairs.csv")])
def test_a_run_folder_below_images_is_fine_where_it_is_not_searched(
    data, tmp_path, monkeypatch, capsys, how
):
    flat = tmp_path / "flat"
    flat.mkdir()
    rows = ["image,mask"]
    for file in (data / "images").iterdir():
        image, mask = file.name, f"{file.stem}_mask.png"
        file.rename(flat / image)
        (data / "masks" / image).rename(flat / mask)
        rows.append(f"{image},{mask}")
    (flat / "pairs.csv").write_text("\n".join(rows))
    monkeypatch.chdir(flat)
    # What an earlier run has left.
    shutil.copytree(flat, flat / "exports/demo/figures")
    assert main([*how, "--output", "exports/a", "--batch-size", "64"]) == 2
    assert "is more than the 16 training pairs" in capsys.readouterr().err


def test_a_batch_larger_than_the_data_is_refused_before_tensorflow_loads(
    data, tmp_path
):
    flags = words(data, tmp_path / "run", "--batch-size", "64")
    done = ended(*flags, python=("-X", "importtime"))
    assert done.returncode == 2
    assert "--batch-size 64 is more than the 16 training" in done.stderr
    assert "tensorflow" not in done.stderr


@pytest.mark.parametrize(
    "flags", [["--preset", "carvana"], ["--validation", "v"], ["--test", "t"]]
)
def test_where_the_images_to_train_on_are_is_asked(tmp_path, flags, capsys):
    assert main([*flags, "--output", str(tmp_path / "run")]) == 2
    message = "no flag says where the images to train on are: give --data DIR"
    assert message in capsys.readouterr().err
    assert not [*tmp_path.iterdir()]


def test_a_validation_that_has_moved_is_not_all_that_is_named(finished, capsys):
    assert main(["--output", str(finished), "--resume", "--validation", "v"]) == 2
    assert "where the images to train on are" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--epoch", "3"], "--epochs"),
        (["--image-size", "0", "8"], "at least 1 1"),
        (["--learning-rate", "inf"], "above 0 and finite"),
        (["--preset", "car"], "carvana"),
    ],
)
def test_a_wrong_flag_ends_with_status_2(flags, message):
    # tyro 0.9 keeps what it did not know from one call to the next.
    done = ended(*flags)
    assert done.returncode == 2
    assert message in done.stdout + done.stderr


def test_another_keras_backend_is_refused(monkeypatch, capsys):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert main([]) == 2
    assert "KERAS_BACKEND is jax" in capsys.readouterr().err


@pytest.mark.parametrize("more", [[], ["--minutes", "1", "--tile-size", "16", "16"]])
def test_a_size_that_nothing_chooses_is_refused(more, capsys):
    assert main(["--fit-image-size", *more]) == 2
    message = "--fit-image-size has --minutes choose the size of whole images: give"
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_the_size_that_minutes_chose_stays_when_a_run_goes_on(data, tmp_path, capsys):
    given = parse_config(words(data, tmp_path / "run", "--formats", "--minutes", "0.1"))
    fitted = dataclasses.replace(given.fit, fit_image_size=True)
    config = dataclasses.replace(given, fit=fitted)
    chosen = run(config).load_config().data.image_size
    assert chosen != config.data.image_size
    again = run(dataclasses.replace(config, resume=True)).load_config()
    assert again.data.image_size == chosen
    longer = ["--output", str(tmp_path / "run"), "--resume", "--epochs", "9"]
    assert main(longer) == 2
    assert "ends with its --minutes 0.1: leave --epochs out" in capsys.readouterr().err
