import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_disk import small_disk
from unprivileged import as_python_3_14, close, open_copy

from keras_unet.data.__main__ import main
from keras_unet.data.pairs import prepare
from keras_unet.data.records_index import read_index
from keras_unet.data_config import DataConfig
from keras_unet.train import main as train


@pytest.fixture
def root(tmp_path) -> Path:
    mask = np.zeros((32, 48), np.uint8)
    mask[8:20, 8:30] = 255
    for seed, name in enumerate(["a", "b", "c"]):
        noise = np.random.default_rng(seed).integers(0, 256, (32, 48, 3), np.uint8)
        for folder, pixels in [("images", noise), ("masks", mask)]:
            (tmp_path / "set" / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(tmp_path / f"set/{folder}/{name}.png")
    return tmp_path / "set"


def test_a_good_folder_is_shown_as_a_table_and_ends_with_0(root, capsys):
    assert main(["check", str(root)]) == 0
    shown = capsys.readouterr().out
    assert "binary, foreground above 127" in shown
    assert "all pairs can be used" in shown


def test_every_unusable_file_is_named_and_the_status_is_1(root, capsys):
    (root / "images/a.png").write_bytes(b"")
    (root / "masks/c.png").unlink()
    assert main(["check", str(root)]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "error: 2 things are wrong with the data:",
        f"  {root}/images/c.png: has no mask in {root}/masks",
        f"  {root}/images/a.png: is empty (0 bytes)",
    ]


@pytest.fixture
def many_wrong(root) -> Path:
    (root / "masks/c.png").write_bytes(b"")
    for number in range(30):
        shutil.copy(root / "images/a.png", root / f"images/x{number:02}.png")
    return root


def test_a_cause_of_many_files_is_one_line_before_the_rare_ones(many_wrong, capsys):
    assert main(["check", str(many_wrong)]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "error: 31 things are wrong with the data:",
        f"  has no mask in {many_wrong}/masks (30 files): "
        f"{many_wrong}/images/x00.png, x01.png, x02.png, …",
        f"  {many_wrong}/masks/c.png: is empty (0 bytes)",
        "--output DIR lists all of them in DIR/report.json",
    ]


def test_the_report_names_the_files_that_the_screen_leaves_out(
    many_wrong, tmp_path, capsys
):
    file = tmp_path / "out/report.json"
    assert main(["check", str(many_wrong), "--output", str(file.parent)]) == 1
    assert capsys.readouterr().err.endswith(f"\nall of them: {file}\n")
    assert len(json.loads(file.read_text())["problems"]) == 31


def with_table(root, rows):
    """Has the masks of a set be what a table says."""
    (root / "images").rename(root / "train")
    (root / "train_masks.csv").write_text("\n".join(["img,rle_mask", *rows]))


def test_of_very_many_causes_only_the_first_are_shown(root, capsys):
    with_table(root, [])
    for number in range(30):
        for suffix in ("png", "jpg"):
            shutil.copy(root / "train/a.png", root / f"train/x{number}.{suffix}")
    assert main(["check", str(root)]) == 1
    shown = capsys.readouterr().err
    assert "  … and 11 more causes\n" in shown
    assert len(shown.splitlines()) == 23


def test_rows_without_an_image_are_one_line_that_names_rows(root, capsys):
    with_table(root, [f"{name}.png,1 3" for name in ["a", "b", "c", *range(10, 40)]])
    assert main(["check", str(root)]) == 1
    assert capsys.readouterr().err.splitlines()[1] == (
        f"  has no image in {root}/train (30 times): {root}/train_masks.csv, row 10, "
        "row 11, row 12, …"
    )


def test_the_report_tells_which_line_of_a_table_is_wrong(root, tmp_path):
    with_table(root, ["a.png,1 3", "b.png,1 3", "c.png,1 3", "d;1 3"])
    assert main(["check", str(root), "--output", str(tmp_path / "out")]) == 1
    assert json.loads((tmp_path / "out/report.json").read_text())["problems"] == [
        {
            "file": f"{root}/train_masks.csv",
            "part": "line 5 (d;1 3)",
            "cause": "has no comma",
        }
    ]


def test_a_report_and_an_image_are_written_where_wanted(root, tmp_path, capsys):
    assert main(["check", str(root), "--output", str(tmp_path / "out")]) == 0
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert (len(report["pairs"]), report["class_names"][1]) == (3, "foreground")
    with Image.open(tmp_path / "out/data.png") as image:
        assert image.format == "PNG"


def test_a_folder_without_one_good_pair_still_gets_its_report(root, tmp_path, capsys):
    for file in (root / "masks").iterdir():
        file.write_bytes(b"")
    assert main(["check", str(root), "--output", str(tmp_path / "out")]) == 1
    written = {file.name for file in (tmp_path / "out").iterdir()}
    assert written == {"report.json", "pairs.csv"}
    assert "data.png" not in capsys.readouterr().out


def test_a_missing_folder_is_one_line_and_status_1(tmp_path, capsys):
    assert main(["check", str(tmp_path / "gone")]) == 1
    assert capsys.readouterr().err == (
        f"error: {tmp_path}/gone: there is no such folder\n"
    )


@pytest.fixture(params=["own", "3.14"])
def unprivileged(root, request, monkeypatch) -> Iterator[Path]:
    """A copy of the set that is open to us, until ``close``."""
    # Loads the modules: without privileges their files may be out of reach.
    gone = str(root / "gone")
    assert main(["check", gone]) == train(["--output", gone, "--data", gone]) == 1
    if request.param == "3.14":
        as_python_3_14(monkeypatch)
    with open_copy(root) as copy:
        yield copy


@pytest.mark.parametrize("name", ["", "images", "masks"])
@pytest.mark.parametrize(
    ("command", "words"),
    [(main, ["check"]), (train, ["--output", "{ours}/run", "--data"])],
)
def test_a_folder_that_may_not_be_read_is_one_line_and_status_1(
    unprivileged, command, words, name, capsys
):
    folder = unprivileged / name
    close(folder)
    words = [word.format(ours=unprivileged.parent / "ours") for word in words]
    assert command([*words, str(unprivileged)]) == 1
    assert capsys.readouterr().err == (
        f"error: {folder}: may not be read (no permission)\n"
    )


@pytest.mark.parametrize("name", ["notes.json", "table.csv"])
def test_a_file_that_may_not_be_read_is_named(root, name, capsys):
    (root / name).write_text("{}")
    shutil.rmtree(root / "masks")
    with open_copy(root) as copy:
        close(copy / name)
        assert main(["check", str(copy)]) == 1
    assert capsys.readouterr().err == (
        f"error: {copy}/{name}: may not be read (no permission)\n"
    )


def test_a_folder_in_a_closed_one_is_not_said_to_be_missing(unprivileged, capsys):
    close(unprivileged)
    assert main(["check", str(unprivileged / "images")]) == 1
    assert capsys.readouterr().err == (
        f"error: {unprivileged}/images: may not be read (no permission)\n"
    )


def test_flags_of_training_say_what_is_known_of_the_data(root, capsys):
    words = ["check", "--images", str(root / "images"), "--masks", str(root / "masks")]
    assert main([*words, "--mask-kind", "binary", "--foreground-above", "9"]) == 0
    assert "foreground above 9 (as --mask-kind" in capsys.readouterr().out


def test_two_sources_are_wrong_usage(root, capsys):
    assert main(["check", str(root), "--data", str(root)]) == 2
    assert "name two sources: give one" in capsys.readouterr().err


def test_more_classes_than_the_networks_are_refused(root, capsys):
    for value, name in enumerate("abc", 1):
        Image.fromarray(
            np.array([[0, value]], np.uint8).repeat(24, 1).repeat(32, 0)
        ).save(root / f"masks/{name}.png")
    assert main(["check", str(root), "--classes", "3"]) == 1
    assert "shows class_3, beyond the 3 of --classes" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["chekc"], ["check", "--gruop-by", "x"]])
def test_wrong_words_are_wrong_usage(words, capsys):
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2


def test_the_demo_set_is_drawn_and_found_good(tmp_path, capsys):
    demo = tmp_path / "demo"
    assert main(["demo", str(demo), "--cars", "3", "--size", "64", "96"]) == 0
    assert main(["check", str(demo)]) == 0


@pytest.fixture
def records(root, tmp_path) -> Path:
    written = tmp_path / "records"
    words = ["records", str(root), "--output", str(written), "--coding", "png"]
    assert main([*words, "--image-size", "32", "48"]) == 0
    return written


def test_written_records_are_found_good(records, capsys):
    assert main(["check", str(records)]) == 0


@pytest.mark.parametrize(("size", "said"), [("160 240", False), ("159 240", True)])
def test_check_takes_the_size_that_train_takes_by_default(
    root, tmp_path, capsys, size, said
):
    written = tmp_path / "records"
    words = ["records", str(root), "--output", str(written), "--image-size"]
    assert main([*words, *size.split()]) == 0
    assert main(["check", str(written)]) == 0
    shown = capsys.readouterr().out
    assert ("training with --image-size 160 240 enlarges them" in shown) == said


@pytest.mark.parametrize(
    ("flags", "size"),
    [
        ([], "320 480"),
        (["--preset", "isbi", "--image-size", "32", "48"], "32 48"),
        (["--image-size", "32", "48", "--preset=isbi"], "32 48"),
    ],
)
def test_the_size_of_written_records_is_said(root, tmp_path, capsys, flags, size):
    written = tmp_path / "records"
    assert main(["records", str(root), "--output", str(written), *flags]) == 0
    assert capsys.readouterr().out.endswith(
        f"wrote 3 pairs to {written}, at --image-size {size}\n"
    )


def test_records_for_a_preset_have_its_size_and_check_has_nothing_to_note(
    root, tmp_path, capsys
):
    written, preset = tmp_path / "records", ["--preset", "carvana"]
    assert main(["records", str(root), "--output", str(written), *preset]) == 0
    assert read_index(written).image_size == (320, 480)
    assert main(["check", str(written), *preset]) == 0
    assert "note:" not in capsys.readouterr().out


def test_records_are_of_one_size_but_seen_in_pieces(records, root, tmp_path, capsys):
    for command in (
        ["check", str(records), "--resolution", "1"],
        ["records", str(root), "--output", str(tmp_path / "r"), "--resolution", "1"],
    ):
        assert main(command) == 2
        assert "records hold them at one: give --image-size" in capsys.readouterr().err
    flags = ["--data", str(records), "--output", str(tmp_path / "run"), "--formats"]
    flags += ["--image-size", "32", "48", "--tile-size", "16", "16", "--depth", "2"]
    flags += ["--filters", "2", "--epochs", "1", "--batch-size", "4"]
    assert train(flags) == 0
    assert "2 steps of 4 pieces, 16×16" in capsys.readouterr().out


def write_cells(folder: Path, size: tuple[int, int], across: int) -> Path:
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    mask = np.zeros(size, np.uint8)
    for row in range(4, size[0] - across, 4 * across):
        mask[row : row + across, 4 : 4 + across] = 255
    for number in range(3):
        image = np.full(size, 40 * number, np.uint8)
        Image.fromarray(image).save(folder / f"images/{number}.png")
        Image.fromarray(mask).save(folder / f"masks/{number}.png")
    return folder


PIECES_ADVICE = "--resolution 1 --tile-size 256 256"


def test_check_advises_pieces_where_small_objects_would_vanish(tmp_path, capsys):
    small = write_cells(tmp_path / "small", (640, 960), 16)
    large = write_cells(tmp_path / "large", (640, 960), 80)
    assert main(["check", str(small)]) == 0
    shown = capsys.readouterr().out
    assert "the median object is 5 pixels across (images of 960×640)" in shown
    assert PIECES_ADVICE in shown
    assert main(["check", str(large)]) == 0
    assert PIECES_ADVICE not in capsys.readouterr().out
    assert main(["check", str(small), "--image-size", "640", "960"]) == 0
    assert PIECES_ADVICE not in capsys.readouterr().out
    assert main(["check", str(small), "--resolution", "1"]) == 0
    assert PIECES_ADVICE not in capsys.readouterr().out


def test_check_advises_pieces_where_images_would_be_squeezed(tmp_path, capsys):
    slides = write_cells(tmp_path, (800, 200), 100)
    assert main(["check", str(slides)]) == 0
    shown = capsys.readouterr().out
    assert "3 of 3 become 6.0 times as long or wide as they are" in shown
    assert PIECES_ADVICE in shown
    square = write_cells(tmp_path / "square", (400, 400), 100)
    assert main(["check", str(square)]) == 0
    shown = capsys.readouterr().out
    assert "3 of 3 become 1.5 times as long or wide as they are" in shown


def test_check_takes_the_kind_of_masks_of_the_preset(root, capsys):
    assert main(["check", str(root), "--preset", "hela"]) == 0
    assert "instances" in capsys.readouterr().out


def test_a_preset_that_there_is_not_is_wrong_usage(root, capsys):
    with pytest.raises(SystemExit) as end:
        main(["check", str(root), "--preset", "car"])
    assert end.value.code == 2


def test_a_name_that_is_no_text_is_reported_written_and_split(root, tmp_path):
    for folder in ("images", "masks"):
        (root / folder / "a.png").rename(root / folder / "caf\udce9.png")
    report, records = tmp_path / "report", tmp_path / "records"
    assert main(["check", str(root), "--output", str(report)]) == 0
    assert main(["records", str(root), "--output", str(records)]) == 0
    found = [json.loads((report / "report.json").read_text())["pairs"][2]["group"]]
    found += [row.group for row in read_index(records).records if "caf" in row.group]
    split = prepare(DataConfig(data=records)).split()
    found += [pair.group for pairs in vars(split).values() for pair in pairs]
    assert found.count("caf\udce9") == 3


def test_records_in_the_way_are_told_of_before_the_work(records, root, capsys):
    (root / "images/a.png").write_bytes(b"")
    assert main(["records", str(root), "--output", str(records)]) == 2
    assert capsys.readouterr().err.endswith("records exists: name a new folder\n")


def test_records_for_which_the_disk_is_too_small_are_named(root, tmp_path, capsys):
    with small_disk(tmp_path / "disk", "500k") as disk:
        words = ["--output", str(disk / "records"), "--coding", "raw"]
        assert main(["records", str(root), *words]) == 1
        assert not any(disk.iterdir())
    error = capsys.readouterr().err.splitlines()[-1]
    assert error == f"error: [Errno 28] No space left on device: '{disk}/records'"


def test_records_need_an_output(root):
    # tyro 0.9 keeps what it did not know from one call to the next.
    command = [sys.executable, "-m", "keras_unet.data", "records", str(root)]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 2
    assert "--output" in ended.stderr


def test_records_without_their_images_are_good_and_that_is_said(
    records, root, tmp_path, capsys
):
    shutil.rmtree(root)
    assert main(["check", str(records), "--output", str(tmp_path / "out")]) == 0
    shown = capsys.readouterr().out
    assert "binary, foreground above 127" in shown
    assert "is gone: it can be trained on, not scored" in shown


def test_damaged_records_are_named(records, root, capsys):
    shutil.rmtree(root)
    [file] = records.glob("*.tfrecord")
    content = bytearray(file.read_bytes())
    content[100] ^= 0xFF
    file.write_bytes(content)
    assert main(["check", str(records)]) == 1
    assert f"{file}: is damaged; write the records again" in capsys.readouterr().err


def test_a_download_without_its_library_says_what_to_install(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    assert main(["download", "carvana", str(tmp_path / "cars")]) == 2
    told = capsys.readouterr()
    install = 'pip install "keras-unet-studio[kaggle]"'
    wanted = "error: data download needs kagglehub, not installed"
    assert (told.out, told.err) == ("", f"{wanted}: {install}\n")
    assert not (tmp_path / "cars").exists()


def test_help_and_mistyped_flags_do_not_wait_for_tensorflow():
    code = (
        "import sys\n"
        "from keras_unet.data.__main__ import main\n"
        "try: main(['check', '--help'])\n"
        "except SystemExit: pass\n"
        "slow = {'tensorflow', 'keras', 'matplotlib', 'scipy'} & set(sys.modules)\n"
        "sys.exit(f'imported {slow}' if slow else 0)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_an_output_that_cannot_be_made_is_named_before_the_work(root, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["check", str(root), "--output", str(tmp_path / "file" / "out")]) == 2
    assert "--output" in (shown := capsys.readouterr()).err
    assert "cannot be made" in shown.err
    assert shown.out == ""
