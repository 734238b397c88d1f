import itertools
from pathlib import Path

import numpy as np
import pytest
from bright_run import SIZE, draw, load, make_run, square
from PIL import Image
from unprivileged import as_python_3_14, close, open_copy

from keras_unet.errors import BadData, BadUsage
from keras_unet.predict import main
from keras_unet.prediction.inputs import Shard, list_inputs
from keras_unet.prediction.segmenter import Segmenter


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def segmenter(run):
    return Segmenter(run)


def colours(seed=0, size=SIZE):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)


def predicted(run, file):
    """Returns what the command writes of an image's file."""
    out = file.parent / "out"
    assert (
        main([str(run.path), str(file), "--output", str(out), "--probabilities"]) == 0
    )
    return load(out / f"{file.stem}_probability.png")


def levels(probability):
    return np.round(probability[..., 1] * 65535).astype(np.uint16)


@pytest.mark.parametrize("as_given", [str, lambda file: file, Image.open, load])
def test_a_file_however_given_has_the_probability_that_predict_writes(
    run, segmenter, tmp_path, as_given
):
    file = tmp_path / "a.png"
    Image.fromarray(colours(size=(20, 30))).save(file)
    found = segmenter.probability(as_given(file))
    np.testing.assert_array_equal(levels(found), predicted(run, file))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "I;16"])
def test_pillows_images_of_every_mode_are_read_as_their_files_are(
    segmenter, tmp_path, mode
):
    image = Image.fromarray(colours())
    if mode == "I;16":
        image = Image.fromarray(colours()[..., 0].astype(np.uint16) << 8)
    file = tmp_path / "a.tif"
    image = image if mode == "I;16" else image.convert(mode)
    image.save(file)
    np.testing.assert_array_equal(
        segmenter.probability(image), segmenter.probability(file)
    )


def test_pillows_image_is_turned_upright_and_stays_as_it_was(segmenter, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = Image.fromarray(colours()).quantize(16)
    lying.save(tmp_path / "a.png", exif=exif, transparency=3)
    with Image.open(tmp_path / "a.png") as image:
        found = segmenter.probability(image)
        assert image.info["transparency"] == 3
        assert image.size == lying.size
    assert found.shape[:2] == lying.size
    upright = lying.convert("RGB").transpose(Image.Transpose.ROTATE_270)
    np.testing.assert_array_equal(found, segmenter.probability(upright))


@pytest.mark.parametrize(
    "change",
    [
        lambda grey: grey[..., None],
        lambda grey: np.repeat(grey[..., None], 3, -1),
        lambda grey: grey.astype(np.uint16) << 8,
        lambda grey: (grey.astype(np.uint16) << 8)[..., None].astype(">u2"),
        lambda grey: np.stack([grey, grey, grey, 255 - grey], -1),
        lambda grey: np.asfortranarray(grey),
    ],
)
def test_arrays_of_one_image_have_one_probability(segmenter, change):
    grey = colours()[..., 0]
    np.testing.assert_array_equal(
        segmenter.probability(change(grey)), segmenter.probability(grey)
    )


def test_images_of_several_kinds_and_sizes_are_taken_together(segmenter, tmp_path):
    Image.fromarray(colours()).save(tmp_path / "a.png")
    given = [tmp_path / "a.png", Image.fromarray(colours(1)), colours(2, (9, 7))]
    for found, one in zip(segmenter.probabilities(given), given, strict=True):
        np.testing.assert_allclose(found, segmenter.probability(one), atol=1e-6)


def test_no_images_have_no_probabilities(segmenter):
    assert segmenter.probabilities([]) == []


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (colours() / 255, "not float64: multiply by 255 what is in 0..1"),
        (colours()[..., 0] > 127, "not bool: multiply by 255"),
        (colours().astype(np.float32), "not float32: bring them to 0..255"),
        (np.full((4, 4), np.nan), "not float64: bring them"),
        (colours().astype(np.int64), "not int64: bring them to 0..255"),
        (None, "shape"),
        (np.full((4, 4), "a"), "give a path"),
        (np.zeros((0, 4, 3), np.uint8), r"found none in the shape \(0, 4, 3\)"),
        (np.zeros(4, np.uint8), r"not \(4,\)"),
        (np.zeros((4, 4, 2), np.uint8), r"not \(4, 4, 2\)"),
        (np.zeros((3, 40, 40), np.uint8), r"not \(3, 40, 40\)"),
        (np.zeros((1, 4, 4, 3), np.uint8), r"not \(1, 4, 4, 3\)"),
    ],
)
def test_what_is_no_image_is_refused_in_one_sentence(segmenter, image, message):
    with pytest.raises(BadUsage, match=message) as refused:
        segmenter.probability(image)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("images", [colours(), "a.png", Image.fromarray(colours())])
def test_one_image_is_not_taken_for_several(segmenter, images):
    with pytest.raises(BadUsage, match="give a single image to probability"):
        segmenter.probabilities(images)


def test_files_and_images_that_cannot_be_read_are_bad_data(tmp_path):
    segmenter = Segmenter(make_run(tmp_path / "run", max_pixels=500))
    with pytest.raises(BadData, match=r"gone\.png: is not there"):
        segmenter.probability(tmp_path / "gone.png")
    with pytest.raises(BadData, match="40×20 pixels are more than --max-pixels 500"):
        segmenter.probability(Image.new("RGB", (40, 20)))
    with pytest.raises(BadData, match="the image holds fractions"):
        segmenter.probability(Image.new("F", (4, 4)))
    Image.fromarray(colours()).save(tmp_path / "cut.png")
    whole = (tmp_path / "cut.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    with (
        Image.open(tmp_path / "cut.png") as image,
        pytest.raises(BadData, match="the image is truncated"),
    ):
        segmenter.probability(image)


@pytest.fixture
def images(tmp_path):
    for name in ("a", "b"):
        draw(tmp_path / "in" / f"{name}.png", square())
    return tmp_path / "in"


def places(*inputs, output=None):
    return [one.place.as_posix() for one in list_inputs(inputs, output)[0]]


def test_no_input_is_wrong_usage():
    with pytest.raises(BadUsage, match="INPUT"):
        list_inputs([])


def test_an_image_named_twice_is_listed_once(images):
    draw(images / "x" / "c.png", square())
    assert places(images, images / "a.png", images / "x") == [
        "a.png",
        "b.png",
        "x/c.png",
    ]


def test_hidden_files_and_folders_and_what_is_no_image_are_left_out(images):
    for name in (".git/c.png", ".c.png", "x/.d.png", "x/notes.txt"):
        (images / name).parent.mkdir(exist_ok=True)
        (images / name).write_text("")
    assert places(images) == ["a.png", "b.png"]


def test_what_systems_leave_among_images_is_left_out(images):
    for name in ("__MACOSX/c.png", "Icon\r", "#recycle/c.png"):
        (images / name).parent.mkdir(exist_ok=True)
        (images / name).write_text("")
    draw(images / "@eaDir/a.png/SYNOPHOTO_THUMB_M.png", square())
    assert places(images) == ["a.png", "b.png"]
    assert places(images / "**" / "*") == ["a.png", "b.png"]


def test_a_folder_that_links_to_its_parent_is_looked_into_once(images):
    (images / "x").symlink_to(images, target_is_directory=True)
    assert places(images) == ["a.png", "b.png"]


def test_a_linked_folder_is_looked_into(images, tmp_path):
    draw(tmp_path / "elsewhere" / "c.png", square())
    (images / "x").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert places(images) == ["a.png", "b.png", "x/c.png"]


def test_the_output_is_passed_over_however_it_is_written(images):
    draw(images / "out" / "a.png", square())
    assert places(images, output=images / "out") == ["a.png", "b.png"]
    assert places(images, output=images / ".." / "in" / "out") == ["a.png", "b.png"]


@pytest.mark.parametrize("python", ["own", "3.14"])
@pytest.mark.parametrize("name", ["", "a.png"])
def test_an_input_that_may_not_be_looked_at_is_said_so(
    images, monkeypatch, python, name
):
    if python == "3.14":
        as_python_3_14(monkeypatch)
    with open_copy(images) as copy:
        close(copy)
        with pytest.raises(BadData, match=f"set/?{name}: may not be read"):
            list_inputs([copy / name])


def test_a_folder_within_that_may_not_be_looked_at_is_named(images):
    draw(images / "x" / "c.png", square())
    with open_copy(images) as copy:
        close(copy / "x")
        files, failed = list_inputs([copy])
    assert [one.place for one in files] == [Path("a.png"), Path("b.png")]
    assert [str(error) for error in failed] == [
        f"{copy / 'x'}: may not be read (no permission)"
    ]


def test_a_pattern_is_what_the_shell_would_make_of_it_below_its_first_wildcard(images):
    for name in ("x/c.png", "x/y/d.jpg", "x/y/e.png", ".f.png", "x/notes.txt"):
        draw(images / "g.png", square())
        (images / name).parent.mkdir(parents=True, exist_ok=True)
        (images / "g.png").rename(images / name)
    assert places(images / "*.png") == ["a.png", "b.png"]
    assert places(images / "**" / "*.png") == ["a.png", "b.png", "x/c.png", "x/y/e.png"]
    assert places(images / "x" / "?.png") == ["c.png"]
    assert places(images / "[ax]*") == ["a.png", "x/c.png", "x/y/d.jpg", "x/y/e.png"]
    everything = ["a.png", "b.png", "x/c.png", "x/y/d.jpg", "x/y/e.png"]
    assert places(images / "**") == everything
    assert places(images / "**" / "*", output=images / "x") == ["a.png", "b.png"]


def test_a_file_whose_name_looks_like_a_pattern_or_a_list_is_that_file(images):
    for name in ("[ab].png", "@c.png"):
        draw(images / name, square())
    assert places(images / "[ab].png") == ["[ab].png"]
    assert places(images / "@c.png") == ["@c.png"]


def test_a_pattern_without_images_is_said_so(images):
    with pytest.raises(BadData, match=r"\*\.tif: matches no images"):
        list_inputs([images / "*.tif"])


def listed(file, *lines):
    file.write_text("\n".join(map(str, lines)))
    return Path(f"@{file}")


def test_a_list_s_paths_count_from_its_folder_and_keep_their_order(images, tmp_path):
    draw(tmp_path / "elsewhere" / "c.png", square())
    draw(images / "x" / "d.png", square())
    elsewhere = tmp_path / "elsewhere" / "c.png"
    words = listed(images / "l.txt", "b.png", "", "x", "./a.png", elsewhere, "b.png")
    absolute = elsewhere.relative_to(elsewhere.anchor).as_posix()
    assert places(words) == ["b.png", "x/d.png", "a.png", absolute]
    words = listed(images / "x" / "l.txt", "../../elsewhere/c.png")
    assert places(words) == [absolute]


def test_a_line_that_names_no_image_is_told_by_its_number(images):
    (images / "empty").mkdir()
    words = listed(images / "l.txt", "a.png", "gone.png", "", "empty", "b\0.png")
    files, failed = list_inputs([words])
    assert [one.place.name for one in files] == ["a.png"]
    list_ = images / "l.txt"
    assert [str(error).replace("\0", "") for error in failed] == [
        f"{images}/gone.png: there is no such file or folder ({list_}, line 2)",
        f"{images}/empty: holds no images ({list_}, line 4)",
        f"{images}/b.png: there is no such file or folder ({list_}, line 5)",
    ]


@pytest.mark.parametrize(
    ("lines", "said"), [([], "the list names no files"), (None, "cannot be read")]
)
def test_a_list_of_nothing_is_said_so(tmp_path, lines, said):
    words = Path(f"@{tmp_path / 'l.txt'}")
    if lines is not None:
        listed(tmp_path / "l.txt", *lines)
    with pytest.raises(BadData, match=rf"l\.txt: .*{said}"):
        list_inputs([words])


@pytest.mark.parametrize("count", [1, 3, 16, 100])
def test_every_item_belongs_to_one_shard_and_their_order_stays(count):
    items = list(range(37))
    shards = [Shard.parse(f"{number + 1}/{count}") for number in range(count)]
    parts = [shard.of(items) for shard in shards]
    assert list(itertools.chain(*parts)) == items
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_files_of_shards_have_names_that_sort():
    assert Shard.parse("3/16").name(Path("x/a.csv")) == Path("x/a-03-of-16.csv")
    assert Shard.parse("1/1").name(Path("a.csv")) == Path("a.csv")


@pytest.mark.parametrize("text", ["0/4", "5/4", "3", "a/b", "-1/4", "1/0", "1/2/3"])
def test_what_is_no_shard_is_refused(text):
    with pytest.raises(BadUsage, match=r"--shard must be .* such as 3/16, not"):
        Shard.parse(text)
