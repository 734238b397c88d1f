import numpy as np
import pytest
from PIL import Image

from benchmarks import input_pipeline

TINY = ["--image-size", "16", "24", "--images", "5", "--batch-size", "2"]


@pytest.fixture
def folder(tmp_path):
    mask = np.zeros((32, 48), np.uint8)
    mask[8:20, 10:40] = 255
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    for number in range(5):
        pixels = np.random.default_rng(number).integers(0, 256, (32, 48, 3))
        image = Image.fromarray(pixels.astype(np.uint8))
        image.save(tmp_path / f"images/{number}.jpg")
        Image.fromarray(mask).save(tmp_path / f"masks/{number}.png")
    return tmp_path


def test_a_table_says_how_many_times_the_yardstick_each_part_is(folder, capsys):
    flags = ["--data", str(folder), *TINY, "--repeats", "1"]
    assert input_pipeline.main([*flags, "--training", "--filters", "2"]) == 0
    printed = capsys.readouterr().out
    assert f"| {input_pipeline.YARDSTICK} |" in printed
    assert "| batches from records, JPEG, full augmentation |" in printed
    assert "a step waits for its batch" in printed


def test_fewer_images_than_a_batch_has_are_refused(folder, capsys):
    flags = ["--data", str(folder), "--image-size", "16", "24", "--batch-size", "6"]
    assert input_pipeline.main(flags) == 2
    assert "--batch-size 6 is more than the images" in capsys.readouterr().err
