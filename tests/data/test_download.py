import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from keras_unet.data import download
from keras_unet.errors import BadData, BadUsage

COUNTS = {"train": 2, "train_masks": 2, "test": 1}
FILES = {
    "train.zip": ["train/a_01.jpg", "train/a_02.jpg"],
    "train_masks.zip": ["train_masks/a_01_mask.gif", "train_masks/a_02_mask.gif"],
    "test.zip": ["test/b_01.jpg"],
    "train_masks.csv.zip": ["train_masks.csv"],
}


class Kaggle:
    """Stands in for kagglehub.competition_download, over a folder of archives."""

    def __init__(self, folder: Path, files: dict[str, list[str]]) -> None:
        self.folder, self.asked = folder, []
        folder.mkdir()
        for name, members in files.items():
            with zipfile.ZipFile(folder / name, "w") as archive:
                for member in members:
                    archive.writestr(member, member)

    def __call__(self, competition: str, name: str) -> str:
        assert competition == download.COMPETITION
        self.asked.append(name)
        return str(self.folder / name)


def failing(error: Exception) -> Callable[[str, str], str]:
    def fetch(competition: str, name: str) -> str:
        raise error

    return fetch


def test_a_download_unpacks_and_counts_the_set(tmp_path):
    kaggle = Kaggle(tmp_path / "kaggle", FILES)
    assert download.download(tmp_path / "data", kaggle, COUNTS) == COUNTS
    members = [member for members in FILES.values() for member in members]
    assert all((tmp_path / "data" / member).read_text() == member for member in members)


def test_a_second_download_fetches_nothing(tmp_path):
    download.download(tmp_path / "data", Kaggle(tmp_path / "one", FILES), COUNTS)
    kaggle = Kaggle(tmp_path / "two", FILES)
    download.download(tmp_path / "data", kaggle, COUNTS)
    assert kaggle.asked == []


def test_a_download_goes_on_after_a_stop_with_what_is_missing(tmp_path):
    whole = Kaggle(tmp_path / "one", FILES)
    download.download(tmp_path / "data", whole, COUNTS)
    kept = (tmp_path / "data/train/a_01.jpg").stat().st_ino
    (tmp_path / "data/train/a_02.jpg").unlink()
    again = Kaggle(tmp_path / "two", FILES)
    download.download(tmp_path / "data", again, COUNTS)
    assert again.asked == ["train.zip"]
    assert (tmp_path / "data/train/a_01.jpg").stat().st_ino == kept


def test_a_half_written_file_of_an_earlier_stop_is_written_anew(tmp_path):
    (tmp_path / "data/train").mkdir(parents=True)
    (tmp_path / "data/train/a_01.jpg").write_text("tr")
    download.download(tmp_path / "data", Kaggle(tmp_path / "kaggle", FILES), COUNTS)
    assert (tmp_path / "data/train/a_01.jpg").read_text() == "train/a_01.jpg"


def test_a_table_that_the_library_has_unpacked_is_taken_as_it_is(tmp_path):
    kaggle = Kaggle(tmp_path / "kaggle", FILES)
    (kaggle.folder / "train_masks.csv.zip").write_text("img,rle_mask\n")
    download.download(tmp_path / "data", kaggle, COUNTS)
    assert (tmp_path / "data/train_masks.csv").read_text() == "img,rle_mask\n"


def test_shadow_files_of_a_mac_are_left_out(tmp_path):
    files = {**FILES, "train.zip": [*FILES["train.zip"], "__MACOSX/train/._a_01.jpg"]}
    download.download(tmp_path / "data", Kaggle(tmp_path / "kaggle", files), COUNTS)
    assert not (tmp_path / "data/__MACOSX").exists()


@pytest.mark.parametrize(
    "member", ["../evil.jpg", "/evil.jpg", "..\\evil.jpg", "C:evil.jpg"]
)
def test_an_archive_that_points_out_of_the_folder_is_refused_whole(tmp_path, member):
    kaggle = Kaggle(
        tmp_path / "kaggle", {**FILES, "train.zip": ["train/a.jpg", member]}
    )
    with pytest.raises(BadData, match="would be written outside"):
        download.download(tmp_path / "data", kaggle, COUNTS)
    assert not (tmp_path / "data").exists()


def test_a_damaged_archive_is_refused(tmp_path):
    kaggle = Kaggle(tmp_path / "kaggle", FILES)
    content = bytearray((kaggle.folder / "train.zip").read_bytes())
    content[45] ^= 0xFF
    (kaggle.folder / "train.zip").write_bytes(content)
    with pytest.raises(BadData, match="is damaged"):
        download.download(tmp_path / "data", kaggle, COUNTS)


def archive_of(folder, content, method=zipfile.ZIP_DEFLATED):
    file = folder / "train.zip"
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, text in content.items():
            archive.writestr(name, text)
    return file


def change(file, old, new):
    """Replaces bytes of the file, at all places."""
    content = file.read_bytes()
    assert old in content
    file.write_bytes(content.replace(old, new))


def test_a_damaged_file_in_an_archive_is_named(tmp_path):
    archive = archive_of(tmp_path, {"a.jpg": "a" * 99, "b.jpg": "b" * 99})
    packed = zlib.compress(b"b" * 99, wbits=-15)
    change(archive, packed, b"\xff" * len(packed))
    with pytest.raises(BadData, match=r"train\.zip: b\.jpg in it is damaged"):
        download.unpack(archive, tmp_path / "data", "train.zip")
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["a.jpg"]


def test_an_encrypted_file_in_an_archive_is_named(tmp_path):
    archive = archive_of(tmp_path, {"a.jpg": "a", "b.jpg": "b"})
    content = bytearray(archive.read_bytes())
    content[content.rindex(b"PK\1\2") + 8] |= 1
    archive.write_bytes(content)
    with pytest.raises(BadData, match=r"train\.zip: b\.jpg in it is encrypted"):
        download.unpack(archive, tmp_path / "data", "train.zip")
    assert not (tmp_path / "data").exists()


def test_more_than_the_disk_has_room_for_is_not_unpacked(tmp_path):
    file = tmp_path / "train.zip"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.jpg", "a")
        archive.writestr("b.jpg", "b")
        archive.infolist()[1].file_size = 2**50
    with pytest.raises(BadData, match=r"holds 1,125,899\.9 GB to be unpacked, .* free"):
        download.unpack(file, tmp_path, "train.zip")
    assert [path.name for path in tmp_path.iterdir()] == ["train.zip"]


def test_an_archive_that_is_none_is_refused(tmp_path):
    kaggle = Kaggle(tmp_path / "kaggle", FILES)
    (kaggle.folder / "train.zip").write_text("<html>")
    with pytest.raises(BadData, match="is no ZIP file; delete it and run this again"):
        download.download(tmp_path / "data", kaggle, COUNTS)


def test_an_incomplete_set_is_refused_with_its_counts(tmp_path):
    kaggle = Kaggle(tmp_path / "kaggle", FILES)
    with pytest.raises(BadData, match=r"train 2 of 3, .*; run this again"):
        download.download(tmp_path / "data", kaggle, {**COUNTS, "train": 3})


def test_missing_credentials_say_what_to_do(tmp_path):
    with pytest.raises(BadData, match=r"make an API token at .*kaggle\.json.*rules"):
        download.download(tmp_path, failing(PermissionError()), COUNTS)


def test_rules_that_were_not_accepted_say_what_to_do(tmp_path):
    error = OSError("403 Client Error")
    error.response = type("Response", (), {"status_code": 403})()
    with pytest.raises(BadData, match=r"accept the rules at .*/rules"):
        download.download(tmp_path, failing(error), COUNTS)


def test_a_lost_network_says_that_it_can_go_on(tmp_path):
    with pytest.raises(BadData, match=r"train.zip could not be fetched \(no route\)"):
        download.download(tmp_path, failing(ConnectionError("no route")), COUNTS)


def test_without_the_library_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "kagglehub", None)
    with pytest.raises(BadUsage, match=r'pip install "keras-unet-studio\[kaggle\]"'):
        download.download(tmp_path / "a" / "data", expected=COUNTS)
    assert list(tmp_path.iterdir()) == []


def test_the_real_library_without_credentials_says_what_to_do(tmp_path, monkeypatch):
    pytest.importorskip("kagglehub", reason="needs the extra kaggle")
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path))
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path))
    for name in ("KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_API_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(BadData, match="make an API token"):
        download.download(tmp_path / "data", expected=COUNTS)
