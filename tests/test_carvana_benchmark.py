import importlib.util
import re

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("benchmarks.carvana", reason="needs the checkout")

from benchmarks.carvana import dice_of, main
from keras_unet import DataConfig, Pair, make_demo

TORCH = importlib.util.find_spec("torch")


def test_masks_of_a_script_are_scored_as_ours(tmp_path):
    truth = np.zeros((8, 10), np.uint8)
    truth[:, :5] = 255
    half = truth.copy()
    half[4:] = 0
    pairs = []
    for name, found in [("a", truth), ("b", half)]:
        Image.fromarray(truth).save(tmp_path / f"{name}_mask.png")
        Image.fromarray(found).save(tmp_path / f"{name}.png")
        pairs.append(Pair(tmp_path / f"{name}.jpg", tmp_path / f"{name}_mask.png", "g"))
    data = DataConfig(mask_kind="binary", foreground_above=0)
    # 2·20 of 20 + 40 pixels.
    assert dice_of(pairs, tmp_path, data) == pytest.approx((1 + 2 / 3) / 2)


@pytest.mark.skipif(bool(TORCH), reason="PyTorch is installed")
def test_without_pytorch_there_is_nothing_to_compare_with(tmp_path, capfd):
    assert main(["--data", str(tmp_path)]) == 2
    assert 'pip install "keras-unet-studio[bench]"' in capfd.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(not TORCH, reason="PyTorch is not installed (extra bench)")
def test_both_are_trained_and_scored(tmp_path, capfd):
    data = make_demo(tmp_path / "cars", cars=3)
    tiny = "--filters 2 --depth 1 --image-size 16 24 --precision float32"
    words = ["--data", str(data), "--minutes", "0.1", "--output", str(tmp_path / "out")]
    status = main([*words, "--scales", "0.1", "--filters", "2", f"--train={tiny}"])
    assert status == 0
    out = capfd.readouterr().out
    ours, theirs = re.findall(r"\| (0\.\d+) \| 0\.\d+ \|$", out, re.M)
    ratio = float(re.search(r"best: ([\d.]+)", out).group(1))
    expected = (1 - float(ours)) / (1 - float(theirs))
    assert ratio == pytest.approx(expected, abs=1e-3)
