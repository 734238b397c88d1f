import pickle
from pathlib import Path

import pytest

from keras_unet.errors import BadData, BadUsage, Unreadable, quoted


def test_an_unreadable_file_can_be_told_by_another_process():
    told = pickle.loads(pickle.dumps(Unreadable(Path("a.png"), "is cut off")))
    assert (str(told), told.cause) == ("a.png: is cut off", "is cut off")


@pytest.mark.parametrize(
    ("system", "path", "said"),
    [
        ("nt", r"C:\runs\a", r"C:\runs\a"),
        ("nt", r"R&D\my run", '"R&D\\my run"'),
        ("posix", "my run", "'my run'"),
    ],
)
def test_a_path_is_said_as_the_system_takes_it(system, path, said, monkeypatch):
    monkeypatch.setattr("os.name", system)
    assert quoted(path) == said


@pytest.mark.parametrize(("error", "status"), [(BadUsage, 2), (BadData, 1)])
def test_an_error_that_a_user_can_cause_is_a_value_error_with_a_status(error, status):
    assert issubclass(error, ValueError)
    assert error("why").status == status
