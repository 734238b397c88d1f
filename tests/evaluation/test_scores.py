"""Scores at the images' own size."""

import math

import numpy as np
import pytest
from bright_run import SIZE, draw, make_run, square
from PIL import Image
from random_masks import MONAI, random_masks

from keras_unet.data import rle
from keras_unet.data.masks import read_pair
from keras_unet.data.pair import Pair
from keras_unet.data_config import IGNORE, DataConfig
from keras_unet.errors import BadData
from keras_unet.evaluation.scores import confusion, score_pairs, scores
from keras_unet.prediction.segmenter import Segmenter

BINARY = DataConfig(mask_kind="binary", foreground_above=127)


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory):
    return Segmenter(make_run(tmp_path_factory.mktemp("run")))


def make_pair(folder, truth, image=None, name="car", group=None):
    draw(folder / f"{name}.png", square() if image is None else image)
    Image.fromarray(truth).save(folder / f"{name}_mask.png")
    group = group or name
    return Pair(folder / f"{name}.png", folder / f"{name}_mask.png", group)


def test_a_perfect_prediction_scores_one(segmenter, tmp_path):
    scores = score_pairs(segmenter, [make_pair(tmp_path, square() * 255)], BINARY)
    names = ["dice", "iou", "precision", "recall", "accuracy", "boundary_iou"]
    assert scores.totals == dict.fromkeys(names, 1.0) | {"hausdorff_95": 0.0}


def test_dice_and_iou_are_means_over_the_images(segmenter, tmp_path):
    pairs = [
        make_pair(tmp_path, square() * 255, name="good"),
        make_pair(tmp_path, square(shift=5) * 255, name="bad"),
    ]
    totals = score_pairs(segmenter, pairs, BINARY).totals
    assert totals["dice"] == pytest.approx((1 + 0.5) / 2)
    assert totals["iou"] == pytest.approx((1 + 1 / 3) / 2)


def test_precision_and_recall_are_over_all_pixels(segmenter, tmp_path):
    pairs = [
        make_pair(tmp_path, square() * 255, name="good"),
        make_pair(tmp_path, np.zeros(SIZE, np.uint8), name="empty"),
    ]
    totals = score_pairs(segmenter, pairs, BINARY).totals
    assert (totals["precision"], totals["recall"]) == (0.5, 1.0)


def test_images_larger_than_the_network_s_are_scored_at_their_own_size(
    segmenter, tmp_path
):
    truth = np.kron(square(), np.ones((3, 3), np.uint8))
    pair = make_pair(tmp_path, truth * 255, image=truth)
    scores = score_pairs(segmenter, [pair], BINARY)
    assert scores.confusion.sum() == truth.size
    assert scores.totals["dice"] > 0.95


def test_ignored_pixels_do_not_count(segmenter, tmp_path):
    truth = square() * 255
    truth[:, 12:] = 77
    data = DataConfig(mask_kind="binary", foreground_above=127, ignore_values=(77,))
    scores = score_pairs(segmenter, [make_pair(tmp_path, truth)], data)
    assert scores.totals["dice"] == 1.0
    assert scores.confusion.sum() == 16 * 12


def test_classes_are_scored_one_by_one(tmp_path):
    meaning = {
        "mask_kind": "classes",
        "class_values": (0, 1, 2),
        "class_names": ("wall", "wheel", "body"),
    }
    run = make_run(tmp_path / "run", classes=3, **meaning)
    truth = square()
    truth[4:12, 4:9] = 2
    draw(tmp_path / "car.png", truth, levels=(20, 127, 240))
    Image.fromarray(truth).save(tmp_path / "mask.png")
    pair = Pair(tmp_path / "car.png", tmp_path / "mask.png", "car")
    segmenter = Segmenter(run)
    totals = score_pairs(segmenter, [pair], segmenter.config.data).totals
    assert (totals["dice_wheel"], totals["dice_body"], totals["dice"]) == (1, 1, 1)


def test_a_class_has_the_mean_of_the_images_that_have_it(tmp_path):
    names = ("wall", "wheel", "body")
    meaning = {"mask_kind": "classes", "class_values": (0, 1, 2), "class_names": names}
    segmenter = Segmenter(make_run(tmp_path / "run", classes=3, **meaning))
    truth = square()
    seen = np.where(truth, 2, 0).astype(np.uint8)
    pairs = []
    for name, mask in [("one", truth), ("two", seen), ("three", truth * 0)]:
        draw(tmp_path / f"{name}.png", truth, levels=(20, 127, 240))
        Image.fromarray(mask).save(tmp_path / f"{name}_mask.png")
        pairs.append(
            Pair(tmp_path / f"{name}.png", tmp_path / f"{name}_mask.png", name)
        )
    scores = score_pairs(segmenter, pairs, segmenter.config.data)
    assert scores.classes.keys() == set(names)
    # Found in the first, and in the other two where it is not.
    assert scores.classes["wheel"]["boundary_iou"] == pytest.approx(1 / 3)
    assert scores.classes["wheel"]["hausdorff_95"] == 0
    assert scores.classes["body"]["boundary_iou"] == 0
    assert math.isnan(scores.classes["body"]["hausdorff_95"])
    assert scores.classes["wheel"]["recall"] == 1
    assert scores.best_threshold is None


def test_dice_and_iou_are_those_of_monai():
    for masks, (dice, iou, _) in zip(random_masks(), MONAI, strict=True):
        found = scores(confusion(*masks, 2))
        assert (found["dice"], found["iou"]) == pytest.approx((dice, iou), abs=1e-6)


@pytest.fixture(scope="module")
def cars(tmp_path_factory):
    """Four groups of two images, all of one shift within a group."""
    folder = tmp_path_factory.mktemp("cars")
    return [
        make_pair(
            folder, square(shift=2 * car) * 255, name=f"{car}{view}", group=f"{car}"
        )
        for car in range(4)
        for view in "ab"
    ]


def test_groups_have_scores_of_their_own(segmenter, cars):
    groups = score_pairs(segmenter, cars, BINARY).groups
    assert [groups[car]["dice"] for car in "0123"] == pytest.approx([1, 0.8, 0.6, 0.4])
    assert groups["1"]["hausdorff_95"] == 2


def test_intervals_are_those_of_groups_that_are_drawn_again(segmenter, cars):
    scores = score_pairs(segmenter, cars, BINARY)
    drawn = np.random.default_rng(1).choice([1, 0.8, 0.6, 0.4], (100_000, 4)).mean(1)
    wanted = np.percentile(drawn, [2.5, 97.5])
    np.testing.assert_allclose(scores.intervals["dice"], wanted, atol=0.021)
    assert scores.intervals.keys() == scores.totals.keys()
    assert score_pairs(segmenter, cars, BINARY).intervals == scores.intervals


def test_one_group_alone_has_no_interval(segmenter, cars):
    assert score_pairs(segmenter, cars[:2], BINARY).intervals == {}


def test_images_without_a_distance_are_left_out_of_its_mean(segmenter, tmp_path):
    pairs = [
        make_pair(tmp_path, square(shift=3) * 255, name="shifted"),
        make_pair(tmp_path, np.zeros(SIZE, np.uint8), name="empty"),
    ]
    scores = score_pairs(segmenter, pairs, BINARY)
    assert scores.totals["hausdorff_95"] == 3
    assert math.isnan(scores.images[1].hausdorff_95)


def test_the_best_threshold_has_the_best_mean_dice(tmp_path):
    segmenter = Segmenter(make_run(tmp_path / "run"))
    # Of these levels, the network is unsure of the brightest background.
    levels = np.where(square(), 240, 20)
    levels[:3] = 135
    pairs = []
    for name in ("one", "two"):
        Image.fromarray(np.repeat(levels[..., None], 3, -1).astype(np.uint8)).save(
            tmp_path / f"{name}.png"
        )
        Image.fromarray(square() * 255).save(tmp_path / f"{name}_mask.png")
        pairs.append(
            Pair(tmp_path / f"{name}.png", tmp_path / f"{name}_mask.png", name)
        )
    scores = score_pairs(segmenter, pairs, BINARY)
    threshold, dice = scores.best_threshold
    assert scores.totals["dice"] < 1
    assert dice == 1
    # The nearest to 0.5 that takes it for none: the logit is 20 · 135/255 − 10.
    unsure = 1 / (1 + math.exp(10 - 20 * 135 / 255))
    assert threshold == math.ceil(1024 * unsure) / 1024


def test_a_mask_may_be_run_lengths(tmp_path):
    draw(tmp_path / "car.png", square())
    pair = Pair(tmp_path / "car.png", None, "car", rle.encode(square()))
    data = DataConfig(mask_kind="binary", foreground_above=0)
    _, mask = read_pair(pair, 3, data)
    np.testing.assert_array_equal(mask, square())


def test_the_order_of_the_images_is_kept(segmenter, tmp_path):
    pairs = [
        make_pair(tmp_path, square() * 255, name=f"car{index}") for index in range(11)
    ]
    scores = score_pairs(segmenter, pairs, BINARY)
    assert [score.image for score in scores.images] == [str(p.image) for p in pairs]


def test_progress_ends_at_the_number_of_images(segmenter, tmp_path):
    seen = []
    pair = make_pair(tmp_path, square() * 255)
    score_pairs(segmenter, [pair] * 3, BINARY, lambda *counts: seen.append(counts))
    assert seen[-1] == (3, 3)


def test_a_mask_of_another_size_is_named_with_both_sizes(tmp_path):
    pair = make_pair(tmp_path, np.zeros((8, 9), np.uint8))
    with pytest.raises(BadData, match=r"car_mask\.png is 9×8.*car\.png is 24×16"):
        read_pair(pair, 3, BINARY)


def test_an_unknown_mask_value_is_told_with_its_file(tmp_path):
    pair = make_pair(tmp_path, square() * 9)
    data = DataConfig(mask_kind="classes", class_values=(0, 1))
    with pytest.raises(BadData, match=r"car_mask\.png: unknown mask value 9"):
        read_pair(pair, 3, data)


def test_broken_run_lengths_are_told_with_their_image(tmp_path):
    draw(tmp_path / "car.png", square())
    with pytest.raises(BadData, match=r"car\.png: its mask: run lengths"):
        read_pair(Pair(tmp_path / "car.png", None, "car", "1 2 3"), 3, BINARY)


def test_confusion_counts_truth_in_rows_and_prediction_in_columns():
    mask, prediction = np.array([0, 1, 1, 2, IGNORE]), np.array([0, 1, 2, 2, 1])
    wanted = [[1, 0, 0], [0, 1, 1], [0, 0, 1]]
    assert confusion(mask, prediction, 3).tolist() == wanted


def test_confusion_of_a_mask_of_bytes_does_not_wrap_around():
    mask = np.full(3, 200, np.uint8)
    assert confusion(mask, mask, 201)[200, 200] == 3


def test_scores_of_two_classes_are_those_of_the_foreground():
    found = scores(np.array([[5, 1], [2, 4]]))
    wanted = {"dice": 8 / 11, "iou": 4 / 7, "precision": 4 / 5, "recall": 4 / 6}
    assert found == pytest.approx(wanted | {"accuracy": 9 / 12})


def test_scores_of_three_classes_leave_out_one_that_nobody_saw():
    found = scores(np.array([[3, 1, 0], [0, 4, 0], [0, 0, 0]]), ("sky", "tree", "car"))
    assert found == pytest.approx(
        {
            "dice": (6 / 7 + 8 / 9) / 2,
            "iou": (3 / 4 + 4 / 5) / 2,
            "precision": (1 + 4 / 5) / 2,
            "recall": (3 / 4 + 1) / 2,
            "accuracy": 7 / 8,
            "dice_sky": 6 / 7,
            "dice_tree": 8 / 9,
            "dice_car": math.nan,
        },
        nan_ok=True,
    )


@pytest.mark.parametrize("classes", [2, 3])
def test_scores_of_no_pixel_are_all_1(classes):
    found = scores(np.zeros((classes, classes), np.int64))
    of_class = {name: found.pop(name) for name in [*found] if name.startswith("dice_")}
    assert set(found.values()) == {1.0}
    assert np.isnan([*of_class.values()]).all()
