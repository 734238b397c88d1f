import numpy as np
import pytest

from keras_unet.model.head import class_logits, most_probable, to_mask, to_probability

LOGITS = np.float32([[[[-1.0], [0.0], [2.0]]]])


def test_one_logit_becomes_two_channels_that_sum_to_one():
    probability = np.asarray(to_probability(LOGITS))
    sigmoid = 1 / (1 + np.exp(-LOGITS[..., 0]))
    np.testing.assert_allclose(probability[..., 1], sigmoid, atol=1e-6)
    np.testing.assert_allclose(probability.sum(-1), 1, atol=1e-6)


def test_several_logits_become_their_softmax():
    logits = np.float32([[[[0.0, 1.0, -1.0]]]])
    probability = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose(to_probability(logits), probability, atol=1e-6)


@pytest.mark.parametrize("scores", [class_logits(LOGITS), to_probability(LOGITS)])
def test_foreground_is_what_is_more_probable_than_background(scores):
    assert np.asarray(most_probable(scores)).ravel().tolist() == [0, 0, 1]


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.7])
def test_of_two_classes_the_foregrounds_probability_is_enough(threshold):
    probability = to_probability(LOGITS)
    alone, both = (to_mask(p, threshold) for p in (probability[..., 1:], probability))
    np.testing.assert_array_equal(alone, both)
    np.testing.assert_array_equal(both, np.asarray(probability)[..., 1] > threshold)


def test_of_several_classes_the_highest_is_taken():
    scores = np.float32([[[[0.0, 1.0, -1.0], [0.2, 0.1, 0.7]]]])
    found = np.asarray(most_probable(scores))
    assert found.dtype == np.uint8
    assert found.ravel().tolist() == [1, 2]
