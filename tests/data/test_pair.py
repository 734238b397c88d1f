from pathlib import Path

import pytest

from keras_unet.data.pair import Fingerprint, Problem, Record, car_of, listing


def test_problems_of_one_cause_are_told_together():
    files = [Path("d/a"), Path("d/b"), Path("d/c"), Path("d/e")]
    problems = [Problem(file, "is torn") for file in files]
    text = listing([*problems, Problem(Path("x"), "is odd")], "see there")
    assert text.splitlines() == [
        "5 things are wrong with the data:",
        "  is torn (4 files): d/a, b, c, …",
        "  x: is odd",
        "see there",
    ]


def test_one_problem_is_one_line():
    assert listing([Problem(Path("a"), "is torn", "line 3")]) == "a, line 3: is torn"


@pytest.mark.parametrize("count", [1, 2])
def test_what_has_no_partner_has_a_way_on(count):
    text = listing([Problem(Path(f"{n}"), "has no mask in d") for n in range(count)])
    assert text.splitlines()[-1].endswith("writes DIR/pairs.csv, for --pairs")


def test_a_file_is_known_by_size_time_and_content(tmp_path):
    (tmp_path / "a").write_text("abc")
    with (tmp_path / "a").open("rb") as file:
        found = Fingerprint.of(file)
    assert (found.size, found.modified) == (3, (tmp_path / "a").stat().st_mtime_ns)
    assert found.sha256 == Fingerprint.of_text("abc").sha256


def test_a_record_is_known_by_its_checksum():
    record = Record(Path("a.tfrecord"), 12, 7, 0xABC)
    assert record.fingerprint == Fingerprint(7, 0, "crc32 00000abc")


@pytest.mark.parametrize(
    ("name", "car"), [("0cdf_01", "0cdf"), ("my_car_16", "my_car"), ("x", "x")]
)
def test_the_group_is_the_car(name, car):
    assert car_of(name) == car
