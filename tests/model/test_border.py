import numpy as np
import pytest
import tensorflow as tf

from keras_unet.model.border import MirrorBorder, padded_size


@pytest.mark.parametrize("size", [2, 3, 20, 92, 93])
def test_a_border_larger_than_the_image_is_mirrored_again(size):
    image = np.random.default_rng(0).uniform(size=(1, size, size, 1))
    image = image.astype("float32")
    layer = MirrorBorder(4, "valid")
    dynamic = tf.function(layer, input_signature=[tf.TensorSpec((1, None, None, 1))])
    np.testing.assert_array_equal(layer(image), dynamic(image))


@pytest.mark.parametrize(
    ("size", "padding", "padded"),
    [(388, "valid", 572), (389, "valid", 588), (512, "same", 512), (513, "same", 528)],
)
def test_the_padded_size_is_the_least_that_the_u_takes(size, padding, padded):
    assert padded_size(size, 4, padding) == padded
