import json
from pathlib import Path

import pytest

from keras_unet.data.class_list import Entry, find_class_list
from keras_unet.errors import BadData


def entries(folder: Path, name: str, text: str) -> tuple[Entry, ...]:
    (folder / name).write_text(text)
    found = find_class_list([folder / "masks", folder])
    assert found is not None
    return found.entries


CITY = [
    {"name": "road", "id": 7, "color": [128, 64, 128], "ignoreInEval": False},
    {"name": "out", "id": 3, "color": [0, 0, 0], "ignoreInEval": True},
]


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("labels.txt", "sky\nroad side\n", [Entry("sky"), Entry("road side")]),
        ("classes.txt", "0: sky\n7 road", [Entry("sky", 0), Entry("road", 7)]),
        ("labels.txt", "dog: 3\nbig cat=1", [Entry("dog", 3), Entry("big cat", 1)]),
        ("labels.txt", "64 128 64\tAnimal\n", [Entry("Animal", colour=0x408040)]),
        (
            "labelmap.txt",
            "# label:color\ncar:9,8,7::\n",
            [Entry("car", colour=0x090807)],
        ),
        ("class_dict.csv", "name,r,g,b\ncar,9,8,7\n", [Entry("car", colour=0x090807)]),
        ("labels.csv", "car,9,8,7\n", [Entry("car", colour=0x090807)]),
        ("labels.txt", "layer 1\nlayer 2\n", [Entry("layer 1"), Entry("layer 2")]),
        ("labels.csv", "ID,Name\n3,car\n", [Entry("car", 3)]),
        (
            "classes.csv",
            "value,color,name\n3,#090807,car\n",
            [Entry("car", 3, 0x090807)],
        ),
        (
            "labels.json",
            json.dumps(CITY),
            [Entry("road", 7, 0x804080), Entry("out", 3, 0, ignored=True)],
        ),
        ("labels.json", '{"0": "sky", "1": "car"}', [Entry("sky", 0), Entry("car", 1)]),
        ("labels.json", '{"sky": 0}', [Entry("sky", 0)]),
        ("classes.json", '["sky", "car"]', [Entry("sky"), Entry("car")]),
    ],
)
def test_lists_as_tools_write_them_are_read(tmp_path, name, text, found):
    assert list(entries(tmp_path, name, text)) == found


@pytest.mark.parametrize(
    ("lines", "values", "names"),
    [
        ("background\ncar\nbus", (0, 1, 2), {0: "background", 1: "car", 2: "bus"}),
        ("__ignore__\n_background_\ncar", (0, 1), {0: "_background_", 1: "car"}),
        ("car\nbus", (0, 1, 2), {1: "car", 2: "bus"}),
        ("sky\ncar", (0, 1), {}),
        ("sky\ncar", (0, 9), {}),
        ("void\nsky\ncar", (0, 1), {0: "void", 1: "sky"}),
        ("background\nvoid\nroad", (0, 2), {0: "background", 2: "road"}),
    ],
)
def test_bare_names_are_numbered_by_their_lines(tmp_path, lines, values, names):
    (tmp_path / "labels.txt").write_text(lines)
    found = find_class_list([tmp_path])
    assert found is not None
    assert found.names(values, coloured=False) == names


def test_colours_have_the_names_of_their_colours(tmp_path):
    (tmp_path / "labels.json").write_text(json.dumps(CITY))
    found = find_class_list([tmp_path])
    assert found is not None
    assert found.names((0x804080, 5), coloured=True) == {0x804080: "road"}
    assert found.ignored((0, 3), coloured=True) == (0,)
    assert found.ignored((0, 3), coloured=False) == (3,)


@pytest.mark.parametrize("text", ["{", '[{"id": "x", "name": "a"}]', "[[1]]", "3"])
def test_a_list_that_cannot_be_read_is_named(tmp_path, text):
    (tmp_path / "labels.json").write_text(text)
    with pytest.raises(BadData, match=r"labels\.json: expected the names"):
        find_class_list([tmp_path])


def test_two_lists_are_a_question(tmp_path):
    for name in ("labels.txt", "classes.txt"):
        (tmp_path / name).write_text("a\nb\n")
    with pytest.raises(BadData, match=r"labels\.txt and classes\.txt both name"):
        find_class_list([tmp_path])


def test_no_list_is_no_error(tmp_path):
    assert find_class_list([tmp_path, tmp_path / "missing"]) is None


FILES = "\n".join(f"{number}.png" for number in range(300))


IDS = "id,label\n00bec,cat\n1f0a,dog\n77ce,cow\n"


@pytest.mark.parametrize("text", ["id,label\n1,cat\n2,dog\n3,cat\n", FILES, IDS])
def test_tables_of_images_and_lists_of_files_name_no_classes(tmp_path, text):
    (tmp_path / "labels.csv").write_text(text)
    (tmp_path / "above").mkdir()
    (tmp_path / "above/classes.txt").write_text("cat\ndog\n")
    found = find_class_list([tmp_path, tmp_path / "above"])
    assert found is not None
    assert found.file == tmp_path / "above/classes.txt"
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    beside = find_class_list([tmp_path])
    assert beside is not None
    assert beside.file == tmp_path / "classes.txt"


def test_the_codes_of_fast_ai_are_numbered_from_0(tmp_path):
    (tmp_path / "codes.txt").write_text("sky\ncar\n")
    found = find_class_list([tmp_path])
    assert found is not None
    assert found.names((0, 1), coloured=False) == {0: "sky", 1: "car"}
    assert found.names((0, 1, 2), coloured=False) == {}
