import json

import pytest

from keras_unet.errors import BadUsage
from keras_unet.training import cluster


def test_without_tf_config_a_process_is_alone_and_writes(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert cluster.workers() == 1
    assert cluster.is_chief()


@pytest.mark.parametrize(
    ("jobs", "task", "chief"),
    [
        ({"worker": ["a:1", "b:1"]}, {"type": "worker", "index": 0}, True),
        ({"worker": ["a:1", "b:1"]}, {"type": "worker", "index": 1}, False),
        ({"chief": ["a:1"], "worker": ["b:1"]}, {"type": "chief", "index": 0}, True),
        ({"chief": ["a:1"], "worker": ["b:1"]}, {"type": "worker", "index": 0}, False),
    ],
)
def test_one_of_two_writes(monkeypatch, jobs, task, chief):
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": jobs, "task": task}))
    assert cluster.workers() == 2
    assert cluster.is_chief() == chief


@pytest.mark.parametrize("text", ["{", "[1]"])
def test_a_broken_tf_config_is_said(monkeypatch, text):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(BadUsage, match="TF_CONFIG"):
        cluster.workers()
