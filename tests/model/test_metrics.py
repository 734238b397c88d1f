import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_unet.data_config import IGNORE
from keras_unet.errors import BadUsage
from keras_unet.evaluation.scores import confusion, scores
from keras_unet.model.metrics import (
    best_threshold,
    count_levels,
    dice_at_thresholds,
    segmentation_metrics,
)

MASKS = np.array([[[0, 1, 1, 0]], [[0, 0, 0, 0]]], np.uint8)[..., None]
# The first image has one hit, one miss and one false alarm; the second is empty.
LOGITS = np.array([[[-1, 2, -3, 4]], [[-1, -1, -1, -1]]], np.float32)[..., None]


def measured(metrics, masks, logits, order=None, batch=2):
    order = np.arange(len(masks)) if order is None else order
    for start in range(0, len(order), batch):
        chosen = order[start : start + batch]
        for metric in metrics:
            metric.update_state(masks[chosen], logits[chosen])
    return {metric.name: float(metric.result()) for metric in metrics}


def reference(masks, logits):
    """Returns the scores of a whole set in NumPy."""
    classes = logits.shape[-1]
    prediction = logits.argmax(-1) if classes > 1 else (logits > 0)[..., 0].astype(int)
    result = scores(confusion(masks[..., 0], prediction, classes))
    if classes <= 2:
        pairs = zip(masks[..., 0], prediction, strict=True)
        each = [scores(confusion(*pair, classes)) for pair in pairs]
        for name in ("dice", "iou"):
            result[name] = float(np.mean([of_image[name] for of_image in each]))
    return result


def test_binary_dice_and_iou_are_means_over_the_images_as_at_kaggle():
    found = measured(segmentation_metrics(1), MASKS, LOGITS)
    assert found == pytest.approx({"dice": (1 / 2 + 1) / 2, "iou": (1 / 3 + 1) / 2})


def test_binary_precision_recall_and_accuracy_are_of_all_pixels():
    found = measured(segmentation_metrics(1, all_scores=True), MASKS, LOGITS)
    assert (found["precision"], found["recall"]) == pytest.approx((1 / 2, 1 / 2))
    assert found["accuracy"] == pytest.approx(6 / 8)


def test_pixels_that_are_255_do_not_count():
    masks = MASKS.copy()
    masks[0, 0, 2:] = IGNORE  # the miss and the false alarm
    found = measured(segmentation_metrics(1, all_scores=True), masks, LOGITS)
    assert found == dict.fromkeys(found, 1.0)


def test_training_has_dice_and_iou_alone():
    assert [metric.name for metric in segmentation_metrics(3)] == ["dice", "iou"]


def test_every_class_has_its_dice_under_its_name():
    metrics = segmentation_metrics(3, ("sky", "traffic light", "Bäume/Wald"), True)
    assert [metric.name for metric in metrics[5:]] == [
        "dice_sky",
        "dice_traffic light",
        "dice_Bäume/Wald",
    ]


def test_class_names_of_another_number_are_refused():
    with pytest.raises(BadUsage, match=r"--class-names needs 3 names.*not 2"):
        segmentation_metrics(3, ("sky", "tree"), True)


@settings(max_examples=10, deadline=None)
@given(
    st.integers(0, 2**31 - 1),
    st.integers(1, 4),
    st.integers(1, 7),
    st.integers(1, 7),
)
def test_metrics_of_shuffled_batches_are_numpys_of_the_whole_set(
    seed, classes, images, batch
):
    random = np.random.default_rng(seed)
    ids = np.r_[np.arange(max(classes, 2)), IGNORE]
    masks = random.choice(ids, (images, 3, 5, 1)).astype(np.uint8)
    masks[random.random(images) < 0.3] = 0
    logits = random.normal(size=(images, 3, 5, classes)).astype(np.float32)
    metrics = segmentation_metrics(classes, all_scores=True)
    found = measured(metrics, masks, logits, random.permutation(images), batch)
    wanted = reference(masks, logits)
    # Keras' progress has no place for what is of no number.
    wanted = {name: 1.0 if np.isnan(one) else one for name, one in wanted.items()}
    assert found == pytest.approx(wanted, abs=1e-6)


def test_the_dice_of_a_class_that_is_nowhere_is_1():
    metrics = segmentation_metrics(3, all_scores=True)
    logits = np.zeros((1, 2, 2, 3), np.float32)
    found = measured(metrics, np.zeros((1, 2, 2, 1), np.uint8), logits)
    assert (found["dice_2"], found["dice"]) == (1.0, 1.0)


def test_a_count_beyond_float32_is_exact():
    metric = segmentation_metrics(1, all_scores=True)[2]
    metric.confusion.assign([[0, 2**25], [0, 2**25]])
    metric.update_state(np.ones((1, 1, 1, 1)), np.ones((1, 1, 1, 1)))
    assert int(tf.convert_to_tensor(metric.confusion)[1, 1]) == 2**25 + 1


def test_a_reset_forgets_everything():
    metrics = segmentation_metrics(1, all_scores=True)
    first = measured(metrics, MASKS, LOGITS)
    for metric in metrics:
        metric.reset_state()
    assert measured(metrics, MASKS, LOGITS) == first


@pytest.mark.parametrize("classes", [1, 3])
def test_a_config_makes_the_same_metrics_again(classes):
    for metric in segmentation_metrics(classes, all_scores=True):
        again = type(metric).from_config(metric.get_config())
        assert again.get_config() == metric.get_config()


def model_with_metrics(classes):
    model = keras.Sequential(
        [
            keras.Input((4, 5, 3)),
            keras.layers.Conv2D(classes, 1, dtype="float32", name="logits"),
        ]
    )
    names = tuple(f"thing {i}" for i in range(classes)) if classes > 2 else ()
    metrics = segmentation_metrics(classes, names, all_scores=True)
    return model, metrics


def zero_loss(mask, logits):
    return tf.reduce_mean(logits, (1, 2, 3)) * 0.0


@pytest.mark.parametrize("xla", [False, True])
@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_evaluate_gives_numpys_scores(policy, classes, xla):
    keras.mixed_precision.set_global_policy(policy)
    try:
        model, metrics = model_with_metrics(classes)
        model.compile(loss=zero_loss, metrics=metrics, jit_compile=xla)
        random = np.random.default_rng(0)
        images = random.normal(size=(6, 4, 5, 3)).astype(np.float32)
        masks = random.integers(0, max(classes, 2), (6, 4, 5, 1)).astype(np.uint8)
        found = model.evaluate(images, masks, 3, verbose=0, return_dict=True)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    wanted = reference(masks, model.predict(images, verbose=0))
    found = {name.replace("_thing ", "_"): found[name] for name in found}
    assert {name: found[name] for name in wanted} == pytest.approx(wanted, abs=1e-5)


def test_dice_at_each_threshold_is_that_of_the_masks_it_makes():
    rng = np.random.default_rng(0)
    probability = rng.random((40, 50)).astype(np.float32)
    probability[0] = rng.integers(1025, size=50) / 1024
    mask = (rng.random((40, 50)) < probability).astype(np.uint8)
    mask[-1] = IGNORE
    parts = [count_levels(probability[r], mask[r]) for r in (slice(25), slice(25, 40))]
    dice = dice_at_thresholds(sum(parts))
    for place in (0, 1, 300, 511, 512, 1022):
        made = (probability > (place + 1) / 1024).astype(np.uint8)
        assert dice[place] == pytest.approx(scores(confusion(mask, made, 2))["dice"])


def test_without_foreground_anywhere_dice_is_1_above_the_highest_probability():
    levels = count_levels(np.full((2, 2), 0.75, np.float32), np.zeros((2, 2), np.uint8))
    dice = dice_at_thresholds(levels)
    assert dice[766] == 0
    assert dice[767] == 1


def test_probabilities_beyond_1_by_rounding_and_nan_are_counted():
    probability = np.array([[1.0000001, np.nan, 0.0]], np.float32)
    assert count_levels(probability, np.ones((1, 3), np.uint8)).sum() == 3


@pytest.mark.parametrize(
    ("best", "threshold"), [([5], 6 / 1024), ([0, 700], 701 / 1024), (range(1023), 0.5)]
)
def test_of_equally_good_thresholds_the_nearest_to_a_half_is_taken(best, threshold):
    dice = np.zeros(1023)
    dice[list(best)] = 0.9
    assert best_threshold(dice) == (threshold, 0.9)
