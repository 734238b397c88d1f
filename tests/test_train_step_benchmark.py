import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.train_step import forward_macs
from keras_unet.config import UNetConfig
from keras_unet.model.unet import build_network

ROOT = Path(__file__).parents[1]
TINY = ["--image-size", "32", "48", "--filters", "2", "--repeats", "1", "--steps", "1"]
SAME = UNetConfig(filters=2, depth=2, normalization="batch", dropout=0.0)

CONTESTANTS = ["keras_unet, float32", "PyTorch, bfloat16", "PyTorch, float32"]
CONTESTANTS += ["PyTorch, bfloat16, torch.compile"] if shutil.which("g++") else []

needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None,
    reason="PyTorch is not installed (extra bench)",
)


@needs_torch
def test_both_networks_have_the_same_number_of_parameters():
    from benchmarks.unet_torch import UNet

    ours, theirs = build_network(SAME), UNet(filters=2, depth=2)
    assert sum(np.size(variable) for variable in ours.trainable_variables) == sum(
        parameter.numel() for parameter in theirs.parameters()
    )


@needs_torch
def test_with_the_same_weights_both_networks_give_the_same_logits():
    import torch

    from benchmarks.unet_torch import UNet

    ours, theirs = build_network(SAME), UNet(filters=2, depth=2).eval()
    _copy(ours, theirs)
    image = np.random.default_rng(0).uniform(0, 255, (2, 16, 24, 3)).astype("float32")
    with torch.no_grad():
        logits = theirs(torch.from_numpy(image.transpose(0, 3, 1, 2)))
    expected = logits.numpy().transpose(0, 2, 3, 1)
    np.testing.assert_allclose(ours(image), expected, atol=1e-5)


def test_the_papers_network_multiplies_as_often_as_its_figure_says():
    paper = UNetConfig(channels=1, classes=2, padding="valid")
    assert forward_macs(paper, (388, 388)) == pytest.approx(150.4e9, rel=1e-3)


@needs_torch
@pytest.mark.slow
def test_the_table_has_a_line_per_contestant_and_batch_size():
    done = _run(*TINY, "--batch-sizes", "1", "2", "--precision", "float32")
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line[:3] in ("| 1", "| 2")]
    assert [line.split(" | ")[:2] for line in lines] == [
        [f"| {size}", name] for size in (1, 2) for name in CONTESTANTS
    ]


@pytest.mark.slow
def test_without_a_gpu_its_measurement_ends_with_one_message():
    done = _run("--device", "gpu", *TINY)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: --device gpu needs a GPU")
    assert len(done.stderr.splitlines()) == 1


def _copy(ours, theirs):
    """Gives the PyTorch module the weights of the Keras layers of its names."""
    import torch

    turns = {1: (0,), 4: (3, 2, 0, 1)}
    for name, module in theirs.named_children():
        names = [*dict(module.named_parameters()), "running_mean", "running_var"]
        for key, value in zip(names, ours.get_layer(name).get_weights(), strict=False):
            value = torch.from_numpy(value.transpose(turns[value.ndim]).copy())
            module.state_dict()[key].copy_(value)


def _run(*words):
    command = [sys.executable, "-m", "benchmarks.train_step", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
