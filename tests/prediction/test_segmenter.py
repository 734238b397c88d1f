import pytest

from keras_unet.config import Config, DataConfig, UNetConfig
from keras_unet.prediction.segmenter import class_names


@pytest.mark.parametrize(
    ("classes", "given", "names"),
    [
        (1, (), ("background", "foreground")),
        (1, ("wall", "car"), ("wall", "car")),
        (3, (), ("0", "1", "2")),
        (3, ("sky", "wall", "car"), ("sky", "wall", "car")),
    ],
)
def test_every_channel_of_the_probability_has_a_name(classes, given, names):
    data, model = DataConfig(class_names=given), UNetConfig(classes=classes)
    assert class_names(Config(data=data, model=model)) == names
