import json
import os

import pytest

from keras_unet.config import Config, FitConfig, UNetConfig
from keras_unet.data import pair_cache
from keras_unet.data_config import DataConfig
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


@pytest.mark.parametrize(
    "change",
    [
        {"data": DataConfig(image_size=(10**6, 10**6))},
        {"model": UNetConfig(filters=10**6)},
        {"fit": FitConfig(batch_size=10**9)},
    ],
)
def test_what_cannot_fit_is_refused_with_what_it_needs(change):
    with pytest.raises(BadUsage, match=r"need \d+ GB at the least, and there are"):
        cluster.require_possible(Config(**change))


def test_the_papers_network_at_its_own_size_fits():
    data, model = DataConfig(image_size=(572, 572)), UNetConfig(filters=64)
    config = Config(data=data, model=model, fit=FitConfig(batch_size=1))
    # Its weights alone, with gradients and moments, are 0.37 GB.
    assert 3e8 < cluster.least_memory(config) < 2e9
    cluster.require_possible(config)


@pytest.mark.parametrize("gpu", ["nvidia0", "nvidia3", None])
def test_what_a_gpu_may_fit_or_an_unknown_memory_is_not_refused(
    gpu, tmp_path, monkeypatch
):
    monkeypatch.setattr(cluster, "_DEVICES", tmp_path)
    (tmp_path / "memory.max").write_text(str(10**9))
    (tmp_path / "own").write_text("0::/\n")
    monkeypatch.setattr(pair_cache, "_GROUPS", tmp_path)
    monkeypatch.setattr(pair_cache, "_OWN_GROUPS", tmp_path / "own")
    large = Config(data=DataConfig(image_size=(4096, 4096)))
    with pytest.raises(BadUsage, match=r"at the least, and there are 1 GB"):
        cluster.require_possible(large)
    if gpu:
        (tmp_path / gpu).touch()
    else:
        monkeypatch.delattr(os, "sysconf")
    cluster.require_possible(large)


def test_several_machines_have_no_common_clock(monkeypatch):
    minutes = Config(fit=FitConfig(minutes=1.0))
    cluster.require_possible(minutes)
    monkeypatch.setenv("TF_CONFIG", '{"cluster": {"worker": ["a:1", "b:2"]}}')
    with pytest.raises(BadUsage, match="--minutes goes by one machine's clock"):
        cluster.require_possible(minutes)
