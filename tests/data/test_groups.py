import time

import pytest

from keras_unet.data.groups import find_groups
from keras_unet.errors import BadUsage


def test_the_first_group_counts_or_all_that_is_found():
    names = ["car1_02.png", "é\udce9_3.png", "x"]
    assert find_groups(r"(.+)_\d", names) == ["car1", "é\udce9", None]
    assert find_groups(r"^\w+?_", names[:1]) == ["car1_"]
    assert find_groups(r"(y)?x", ["x"]) == [None]


def test_no_names_have_no_groups():
    assert find_groups("a", []) == []


@pytest.mark.parametrize("pattern", ["(", "a{99999999999}", "(" * 5000])
def test_what_is_no_expression_is_refused(pattern):
    with pytest.raises(BadUsage, match="is no regular expression"):
        find_groups(pattern, ["a"])


def test_an_expression_that_takes_for_ever_is_refused_in_seconds():
    began = time.monotonic()
    with pytest.raises(BadUsage, match=r"--group-by \(a\+\)\+\$ takes more than 1 s"):
        find_groups("(a+)+$", ["a" * 40 + "b"])
    assert time.monotonic() - began < 20
