import contextlib
import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_unet.data.check import check_data
from keras_unet.data.images import decode_image, read_image
from keras_unet.data.layouts import find
from keras_unet.data.masks import decode_mask_values, read_values
from keras_unet.data.pair import Pair
from keras_unet.data.resize import read_resized
from keras_unet.data.tiff import find_page
from keras_unet.data_config import DataConfig
from keras_unet.errors import BadData, Undecodable

ANY = DataConfig()
CASES = Path(__file__).parents[3] / "shared/data/cases"
NOISE = np.random.default_rng(0).integers(0, 256, (5, 7, 5)).astype(np.uint8)
BANDS_321 = DataConfig(bands=(3, 2, 1), max_pixels=10**6)


@pytest.fixture
def write(tmp_path):
    """Writes an array as TIFF and returns the file."""
    tifffile = pytest.importorskip("tifffile", reason="needs the extra tiff")

    def written(values, name="a.tif", **options):
        options = {"photometric": "minisblack"} | options
        tifffile.imwrite(tmp_path / name, values, **options)
        return tmp_path / name

    return written


def by_hand(tags: dict[int, int], order: str = "<") -> io.BytesIO:
    """Returns a TIFF of nothing but tags."""
    entries = [struct.pack(f"{order}HHII", t, 4, 1, v) for t, v in tags.items()]
    head = {"<": b"II", ">": b"MM"}[order] + struct.pack(f"{order}HI", 42, 8)
    count = struct.pack(f"{order}H", len(tags))
    return io.BytesIO(head + count + b"".join(entries) + bytes(4))


def test_other_files_have_no_page():
    assert find_page(io.BytesIO(b"\x89PNG\r\n")) is None


@pytest.mark.parametrize("order", "<>")
def test_tags_are_said_in_words(order):
    page = find_page(by_hand({256: 7, 257: 5, 258: 8, 277: 5}, order))
    assert str(page) == "TIFF of 5 bands × 8 bits"
    assert page.shape == (5, 7)


def test_pages_in_a_circle_come_to_an_end():
    circle = by_hand({256: 7, 257: 5})
    circle.seek(-4, 2)
    circle.write(struct.pack("<I", 8))
    assert find_page(circle).shape == (5, 7)


@pytest.mark.parametrize("end", range(8, 36, 3))
def test_tags_that_are_cut_are_damage(end):
    with pytest.raises(Undecodable, match="truncated or damaged"):
        find_page(io.BytesIO(by_hand({256: 7, 257: 5}).getvalue()[:end]))


def test_more_bands_than_colours_are_a_question(write):
    with pytest.raises(
        BadData,
        match="TIFF of 5 bands × 8 bits, which is not read; --bands 1 2 3 picks three",
    ):
        read_image(write(NOISE, planarconfig="contig"), 3, ANY)


@pytest.mark.parametrize("planarconfig", ["contig", "separate"])
@pytest.mark.parametrize("compression", [None, "lzw"])
def test_bands_are_picked_in_their_order(write, planarconfig, compression):
    values = NOISE if planarconfig == "contig" else np.moveaxis(NOISE, -1, 0)
    file = write(values, planarconfig=planarconfig, compression=compression)
    np.testing.assert_array_equal(read_image(file, 3, BANDS_321), NOISE[..., 2::-1])


def test_one_band_is_a_grey_image(write):
    file = write(NOISE, planarconfig="contig")
    image = read_image(file, 1, DataConfig(bands=(5,)))
    np.testing.assert_array_equal(image, NOISE[..., 4:])


def test_a_band_that_is_not_there_is_refused(write):
    with pytest.raises(BadData, match="has 5 bands, and --bands asks for number 6"):
        read_image(write(NOISE, planarconfig="contig"), 1, DataConfig(bands=(6,)))


def test_three_bands_that_are_not_called_colours_are_a_question(write):
    file = write(NOISE[..., :3], planarconfig="contig")
    with pytest.raises(BadData, match="TIFF of 3 bands × 8 bits"):
        read_image(file, 3, ANY)


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_colours_of_16_bits_that_lie_apart_are_read(write, compression):
    values = NOISE[..., :3].astype(np.uint16) * 257
    file = write(
        np.moveaxis(values, -1, 0),
        photometric="rgb",
        planarconfig="separate",
        compression=compression,
    )
    np.testing.assert_array_equal(read_image(file, 3, ANY), NOISE[..., :3])


@pytest.mark.parametrize("dtype", [np.int64, np.uint64])
def test_a_mask_of_64_bits_is_read(write, dtype):
    values = NOISE[..., 0].astype(dtype) * 1000
    file = write(values)
    np.testing.assert_array_equal(read_values(Pair(file, file, ""), ANY), values)


def test_values_beyond_32_bits_are_refused(write):
    file = write(np.full((5, 7), 2**40))
    with pytest.raises(BadData, match="more than 32 bits"):
        read_values(Pair(file, file, ""), ANY)


def test_a_mask_of_many_bands_says_what_it_is(write):
    file = write(NOISE, planarconfig="contig")
    with pytest.raises(BadData, match="is a TIFF of 5 bands × 8 bits"):
        read_values(Pair(file, file, ""), ANY)


def test_fractions_in_many_bands_are_refused(write):
    file = write(NOISE.astype(np.float32), planarconfig="contig")
    with pytest.raises(BadData, match="holds fractions"):
        read_image(file, 3, BANDS_321)


def test_more_pixels_and_bands_than_allowed_are_not_unpacked(write):
    file = write(np.zeros((4, 4, 40), np.uint8), planarconfig="contig")
    with pytest.raises(BadData, match="TIFF of 40 bands × 8 bits, more than --max"):
        read_image(file, 3, DataConfig(bands=(1, 2, 3), max_pixels=16))


def test_a_page_that_ends_behind_its_file_is_damage(write):
    file = write(NOISE, planarconfig="contig")
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(BadData, match="truncated or damaged"):
        read_image(file, 3, BANDS_321)


@pytest.mark.filterwarnings("ignore")
def test_whatever_is_changed_in_a_file_it_is_read_or_called_damaged(write):
    draw = np.random.default_rng(0)
    for values in (NOISE, NOISE[..., 0].astype(np.int64)):
        content = write(values, planarconfig="contig").read_bytes()
        for _ in range(150):
            changed = bytearray(content)
            for place in draw.integers(0, 330, 3):
                changed[place] = draw.integers(0, 256)
            for read in (
                lambda file: decode_image(file, 3, BANDS_321),
                lambda file: decode_mask_values(file, ANY),
            ):
                with contextlib.suppress(Undecodable):
                    read(io.BytesIO(bytes(changed)))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_bands_are_turned_as_pillow_turns_colours(write, orientation):
    tag = [(274, "H", 1, orientation, True)]
    bands = write(NOISE, "five.tif", planarconfig="contig", extratags=tag)
    rgb = NOISE[..., :3]
    colours = write(rgb, "three.tif", photometric="rgb", extratags=tag)
    picked = read_image(bands, 3, DataConfig(bands=(1, 2, 3)))
    np.testing.assert_array_equal(picked, read_image(colours, 3, ANY))


@pytest.mark.parametrize("kinds", [[1], [4, 1, 5]])
def test_overviews_and_masks_are_no_further_images(tmp_path, kinds):
    tifffile = pytest.importorskip("tifffile", reason="needs the extra tiff")
    file = tmp_path / "a.tif"
    with tifffile.TiffWriter(file) as writer:
        writer.write(NOISE[..., :3], photometric="rgb")
        for kind in kinds:
            small = NOISE[::2, ::2, 0] > 99 if kind & 4 else NOISE[::2, ::2, 0]
            writer.write(small, photometric="minisblack", subfiletype=kind)
    np.testing.assert_array_equal(read_image(file, 3, ANY), NOISE[..., :3])


def test_a_thumbnail_before_the_image_is_left_out(tmp_path):
    tifffile = pytest.importorskip("tifffile", reason="needs the extra tiff")
    file = tmp_path / "a.tif"
    with tifffile.TiffWriter(file) as writer:
        writer.write(NOISE[::2, ::2, :3], photometric="rgb", subfiletype=1)
        writer.write(NOISE[..., :3], photometric="rgb")
    np.testing.assert_array_equal(read_image(file, 3, ANY), NOISE[..., :3])


def test_alpha_tagged_as_premultiplied_divides_no_colours(write):
    values = NOISE[..., :4].copy()
    values[..., 3] = 10
    for compression in (None, "lzw"):
        file = write(
            values,
            photometric="rgb",
            extrasamples=["ASSOCALPHA"],
            compression=compression,
        )
        np.testing.assert_array_equal(read_image(file, 3, ANY), NOISE[..., :3])


def test_alpha_is_a_band_as_any_other(write):
    file = write(NOISE[..., :4], photometric="rgb", extrasamples=["UNASSALPHA"])
    image = read_image(file, 3, DataConfig(bands=(4, 2, 1)))
    np.testing.assert_array_equal(image, NOISE[..., [3, 1, 0]])


def test_a_stack_of_imagej_with_the_tags_of_one_image_holds_several(write):
    file = write(np.zeros((5, 8, 8), np.uint8), imagej=True, truncate=True)
    with pytest.raises(BadData, match="holds 5 images; write one file for each"):
        read_image(file, 1, ANY)


def test_signed_bytes_are_no_levels_from_0_to_255(write):
    file = write(np.array([[-128, -1], [0, 127]], np.int8))
    with pytest.raises(BadData, match="signed 8 bits from about -200"):
        read_image(file, 1, ANY)
    np.testing.assert_array_equal(
        read_values(Pair(file, file, "a"), ANY), [[-128, -1], [0, 127]]
    )


def test_signed_bytes_from_0_on_are_levels(write):
    file = write(np.array([[0, 127]], np.int8))
    np.testing.assert_array_equal(read_image(file, 1, ANY)[..., 0], [[0, 127]])


def test_bands_of_other_formats_are_picked_too(tmp_path):
    Image.fromarray(NOISE[..., :4]).save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png", 3, DataConfig(bands=(4, 2, 1)))
    np.testing.assert_array_equal(image, NOISE[..., [3, 1, 0]])


def read_case(name, **known):
    """Returns what is said of a case, and how much brighter its foreground is."""
    data = DataConfig(data=CASES / name, image_size=(48, 64), **known)
    report = check_data(find(data), data)
    lifts = []
    for row in report.rows:
        image = read_resized(row.pair.image, 1, report.resolved)[..., 0].astype(float)
        mask = read_values(row.pair, ANY, (48, 64)) > 0
        lifts.append(image[mask].mean() - image[~mask].mean())
    return report, lifts


@pytest.mark.real_data
@pytest.mark.skipif(not CASES.is_dir(), reason="needs ../shared/data/cases")
@pytest.mark.parametrize(
    ("name", "known", "said"),
    [
        ("E_rgb16tif", {}, "16 bits of which 10 are used: 1023 counts as white"),
        ("F3_4band_minisblack", {"bands": (1, 2, 3)}, ""),
        ("F5_5band", {"bands": (1, 2, 3)}, ""),
        ("Y_int64", {}, ""),
        ("G_cog", {}, ""),
        ("H_exif_after", {}, "has EXIF orientation 3 behind its pixels"),
        ("H2_exif_after6", {}, "has EXIF orientation 6 behind its pixels"),
    ],
)
def test_images_that_people_have_lie_under_their_masks(name, known, said):
    pytest.importorskip("tifffile", reason="needs the extra tiff")
    report, lifts = read_case(name, **known)
    assert report.problems == ()
    assert len(lifts) == 8
    assert min(lifts) > 40
    assert said in "".join(report.notes)


@pytest.mark.real_data
@pytest.mark.skipif(not CASES.is_dir(), reason="needs ../shared/data/cases")
@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("F3_4band_minisblack", "is a TIFF of 4 bands × 8 bits, which is not read; "),
        ("F5_5band", "is a TIFF of 5 bands × 8 bits, which is not read; --bands 1 2"),
        ("E4_int16ct", "has signed 16 bits from about -"),
    ],
)
def test_images_of_which_something_is_unknown_are_a_question(name, cause):
    pytest.importorskip("tifffile", reason="needs the extra tiff")
    report, lifts = read_case(name)
    assert lifts == []
    assert len(report.problems) == 8
    assert all(problem.cause.startswith(cause) for problem in report.problems)
