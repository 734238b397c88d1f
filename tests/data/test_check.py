import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from splits import find_pairs

from keras_unet.data.check import Report, check_data
from keras_unet.data.layouts import find
from keras_unet.data.pair import Found
from keras_unet.data.records import write_records
from keras_unet.data_config import DataConfig

CARVANA = Path(__file__).parents[3] / "shared/data/carvana"


def half(value: int = 255) -> Image.Image:
    pixels = np.zeros((32, 48), np.uint8)
    pixels[:, 24:] = value
    return Image.fromarray(pixels)


def noise(seed: int) -> Image.Image:
    return Image.fromarray(
        np.random.default_rng(seed).integers(0, 256, (32, 48, 3), np.uint8)
    )


def put(
    root: Path, name: str, image: Image.Image, mask: Image.Image, **options: object
):
    for folder, pixels in [("images", image), ("masks", mask)]:
        (root / folder).mkdir(exist_ok=True)
        pixels.save(root / folder / name, **options)


@pytest.fixture
def root(tmp_path) -> Path:
    for seed, name in enumerate(["a.png", "b.png", "c.png"]):
        put(tmp_path, name, noise(seed), half())
    return tmp_path


def check(root: Path, classes: int = 1, **given: object) -> Report:
    data = DataConfig(data=root, **given)
    return check_data(find(data), data, classes)


def causes(report: Report, root: Path) -> list[str]:
    return [str(problem).removeprefix(f"{root}/") for problem in report.problems]


def test_good_pairs_have_no_problems_and_a_full_table(root):
    report = check(root)
    assert report.problems == ()
    assert report.table() == {
        "pairs": "3",
        "groups": "3",
        "sizes": "48×32 (3)",
        "images": "PNG RGB (3)",
        "masks": "PNG L (3)",
        "mask values": "binary, foreground above 127 (only 0 255)",
        "pixels": "background 50.0 %, foreground 50.0 %",
        "foreground by image": "50.0 % to 50.0 %, median 50.0 %",
        "duplicates": "0",
    }


def test_what_mask_values_mean_is_in_the_resolved_config(root):
    resolved = check(root).resolved
    assert (resolved.mask_kind, resolved.foreground_above) == ("binary", 127)


@pytest.mark.parametrize("inverted", ["a", "ab", "abcd", "abc", "", "abcdef"])
def test_masks_that_are_inverted_among_others_are_said(tmp_path, inverted):
    square = np.zeros((32, 48), np.uint8)
    square[8:24, 8:40] = 255
    for seed, name in enumerate("abcdef"):
        mask = 255 - square if name in inverted else square
        put(tmp_path, f"{name}.png", noise(seed), Image.fromarray(mask))
    notes = [note for note in check(tmp_path).notes if "inverted?" in note]
    odd = inverted if len(inverted) < 4 else "abcdef".replace(inverted, "")
    said = f"{len(odd)} of 6 masks have on their borders what is within the others"
    assert notes == ([f"{said} ({odd[0]}.png): are they inverted?"] if odd else [])


def test_a_border_that_is_ignored_all_over_shows_nothing(tmp_path):
    for seed in range(6):
        mask = np.zeros((32, 48), np.uint8)
        mask[8:24, 8:40] = 1
        if seed == 3:
            mask[[0, -1]] = mask[:, 0] = mask[:, -1] = 9
        put(tmp_path, f"{seed}.png", noise(seed), Image.fromarray(mask))
    report = check(tmp_path, mask_kind="binary", ignore_values=(9,))
    assert not any("inverted?" in note for note in report.notes)


def test_progress_is_told_after_each_pair(root):
    told = []
    data = DataConfig(data=root)
    check_data(find(data), data, progress=lambda done, of: told.append((done, of)))
    assert told == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"", "is empty (0 bytes)"),
        (b"x" * 99, "is no image (JPEG, PNG, GIF, BMP, TIFF or WebP) or is damaged"),
    ],
)
@pytest.mark.parametrize("folder", ["images", "masks"])
def test_a_file_that_is_no_image_is_named(root, folder, content, cause):
    (root / folder / "b.png").write_bytes(content)
    assert causes(check(root), root) == [f"{folder}/b.png: {cause}"]


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
def test_a_truncated_image_is_named(root, suffix):
    put(root, f"d.{suffix}", noise(9), half())
    whole = (root / f"images/d.{suffix}").read_bytes()
    (root / f"images/d.{suffix}").write_bytes(whole[: len(whole) // 2])
    [cause] = causes(check(root), root)
    assert cause.startswith(f"images/d.{suffix}: is truncated or damaged")


def test_a_truncated_mask_is_named(root):
    path = root / "masks/a.png"
    path.write_bytes(path.read_bytes()[:60])
    [cause] = causes(check(root), root)
    assert cause.startswith("masks/a.png: is truncated or damaged")


def test_a_broken_link_is_named(root):
    (root / "masks/a.png").unlink()
    (root / "masks/a.png").symlink_to(root / "gone.png")
    assert causes(check(root), root) == ["masks/a.png: is a broken link"]


def test_every_bad_file_is_named_not_only_the_first(root):
    (root / "images/a.png").write_bytes(b"")
    (root / "masks/a.png").write_bytes(b"")
    (root / "masks/c.png").write_bytes(b"")
    assert [cause.split(":")[0] for cause in causes(check(root), root)] == [
        "images/a.png",
        "masks/a.png",
        "masks/c.png",
    ]


def test_an_image_over_the_limit_is_named(root):
    assert causes(check(root, max_pixels=48 * 32 - 1), root)[:1] == [
        "images/a.png: 48×32 pixels are more than --max-pixels 1535 allows"
    ]


def test_sizes_that_differ_are_named(root):
    half().resize((50, 32)).save(root / "masks/a.png")
    assert causes(check(root), root) == ["masks/a.png: is 50×32, its image 48×32"]


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def test_sizes_that_differ_only_by_exif_say_so(root):
    noise(0).save(root / "images/a.png", exif=turned(6))
    assert causes(check(root), root) == [
        "masks/a.png: is 48×32, its image 32×48 "
        "(turned upright as EXIF says: orientation 1 against 6)"
    ]


def test_turns_that_differ_at_equal_sizes_are_said(root):
    noise(0).save(root / "images/a.png", exif=turned(3))
    report = check(root)
    assert report.problems == ()
    assert "has EXIF orientation 3, its mask 1" in report.notes[-1]


def test_an_extension_that_lies_is_said_and_the_content_read(root):
    noise(0).save(root / "images/a.png", format="JPEG")
    report = check(root)
    assert report.problems == ()
    assert report.notes[-1].endswith("a.png: is a JPEG file called .png; read as JPEG")


def test_the_bits_that_16_bit_images_use_are_said_and_stored(root):
    dark = np.random.default_rng(0).integers(0, 1024, (32, 48)).astype(np.uint16)
    Image.fromarray(dark).save(root / "images/a.png")
    report = check(root)
    wanted = "images: 16 bits of which 10 are used: 1023 counts as white (--white)"
    assert wanted in report.notes
    assert report.resolved.white == 1023


def test_an_unknown_mask_value_is_named(root):
    half(7).save(root / "masks/a.png")
    assert causes(check(root, class_values=(0, 255)), root) == [
        "masks/a.png: unknown mask value 7: the classes are 0 255 "
        "(see --class-values, --ignore-values and --snap-values)"
    ]


def test_values_of_unknown_meaning_are_named(root):
    for first, name in enumerate("ab"):
        steps = np.arange(40 + first, 88, 2, dtype=np.uint8).repeat(2)
        Image.fromarray(steps[None].repeat(32, 0)).save(root / f"masks/{name}.png")
    [cause] = [str(problem) for problem in check(root).problems]
    assert "cannot be told: give --mask-kind" in cause


def test_no_foreground_in_any_mask_is_a_problem(root):
    for name in "abc":
        half(0).save(root / f"masks/{name}.png")
    assert [p.cause for p in check(root).problems] == [
        "no mask has any foreground, so nothing can be learnt"
    ]


def test_nothing_but_foreground_is_a_problem(root):
    for name in "abc":
        Image.new("L", (48, 32), 255).save(root / f"masks/{name}.png")
    assert [p.cause for p in check(root).problems] == [
        "every pixel of every mask is foreground, so nothing can be learnt"
    ]


def test_one_mask_without_foreground_is_only_said(root):
    half(0).save(root / "masks/a.png")
    report = check(root)
    assert report.problems == ()
    assert "1 of 3 masks have no foreground" in report.notes


def test_classes_beyond_those_of_the_network_are_named(root):
    for value, name in enumerate("abc", 1):
        half(value).save(root / f"masks/{name}.png")
    assert causes(check(root, classes=3), root) == [
        "masks/c.png: shows class_3, beyond the 3 of --classes"
    ]


def test_more_classes_than_one_are_no_problem_for_an_open_network(root):
    for value, name in enumerate("abc", 1):
        half(value).save(root / f"masks/{name}.png")
    assert check(root).resolved.class_values == (0, 1, 2, 3)


def test_ignored_pixels_are_in_no_share(root):
    mask = np.asarray(half(1)).copy()
    mask[:16] = 255
    for name in "abc":
        Image.fromarray(mask).save(root / f"masks/{name}.png")
    report = check(root)
    assert report.resolved.ignore_values == (255,)
    assert report.rows[0].shares == (0.5, 0.5)


def test_images_of_the_same_content_are_said(root):
    noise(0).save(root / "images/c.png")
    report = check(root)
    assert [[file.name for file in files] for files in report.duplicates] == [
        ["a.png", "c.png"]
    ]
    assert "1 images are copies of others (a.png = c.png)" in report.notes[-1]


def test_names_with_spaces_accents_and_emoji_are_read(root):
    put(root, "été à 🚗.png", noise(9), half())
    report = check(root)
    assert (report.problems, len(report.rows)) == ((), 4)


def test_wrong_run_lengths_are_named(tmp_path):
    (tmp_path / "train").mkdir()
    noise(0).save(tmp_path / "train/a_01.png")
    (tmp_path / "train_masks.csv").write_text("img,rle_mask\na_01.png,1\n")
    [cause] = causes(check(tmp_path), tmp_path)
    assert cause.startswith("train/a_01.png: its mask: run lengths come in pairs")


def test_right_run_lengths_are_binary_masks(tmp_path):
    (tmp_path / "train").mkdir()
    noise(0).save(tmp_path / "train/a_01.png")
    (tmp_path / "train_masks.csv").write_text("img,rle_mask\na_01.png,1 768\n")
    report = check(tmp_path, run_lengths="rows")
    assert (report.rows[0].foreground, report.table()["masks"]) == (
        0.5,
        "run lengths (1)",
    )


def test_extremes_are_spread_from_least_to_most_foreground(root):
    for share, name in [(10, "a"), (40, "b"), (20, "c")]:
        pixels = np.zeros((32, 48), np.uint8)
        pixels[:, :share] = 255
        Image.fromarray(pixels).save(root / f"masks/{name}.png")
    assert [pair.image.stem for pair in check(root).extremes(3)] == ["a", "c", "b"]


def test_the_report_can_be_written_as_json(root):
    (root / "images/b.png").write_bytes(b"")
    report = json.loads(json.dumps(check(root).to_json()))
    assert report["problems"] == [
        {"file": f"{root}/images/b.png", "part": "", "cause": "is empty (0 bytes)"}
    ]


def test_a_set_of_nothing_but_broken_files_still_has_a_report(root):
    for file in (root / "images").iterdir():
        file.write_bytes(b"")
    report = check(root)
    assert (len(report.problems), report.table()) == (3, {"pairs": "0"})


@pytest.mark.parametrize(
    ("wanted", "said"), [((32, 48), False), ((8, 12), False), ((16, 60), True)]
)
def test_records_that_training_enlarges_are_said(root, tmp_path, wanted, said):
    data = DataConfig(data=root, image_size=(32, 48))
    write_records(find_pairs(data), data, tmp_path / "records")
    notes = check(tmp_path / "records", image_size=wanted).notes
    assert (
        f"{tmp_path}/records: its records were written with --image-size 32 48, and "
        "training with --image-size 16 60 enlarges them: write them again with "
        "--image-size 16 60" in notes
    ) == said


@pytest.mark.real_data
@pytest.mark.skipif(not CARVANA.is_dir(), reason="needs ../shared/data/carvana")
def test_a_car_of_carvana_is_found_good():
    data = DataConfig(data=CARVANA)
    report = check_data(Found(tuple(find_pairs(data)[:16])), data)
    assert (report.problems, report.table()["sizes"]) == ((), "1918×1280 (16)")
