import math
import subprocess
import sys

import pytest

from keras_unet.config import Config, FitConfig, LossConfig, PredictConfig, UNetConfig
from keras_unet.data_config import DataConfig
from keras_unet.errors import BadUsage


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PredictConfig(threshold=1.0), "--threshold must be above 0 and below"),
        (
            lambda: Config(data=DataConfig(tile_size=(100, 64))),
            "--tile-size 100 64 must be multiples of 16, .*: 96 64 for example",
        ),
        (
            lambda: Config(
                data=DataConfig(resolution=1.0),
                model=UNetConfig(depth=8, stem_stride=2),
            ),
            "--tile-size 256 256 must be multiples of 512, .*: 512 512 for example",
        ),
        (
            lambda: Config(
                model=UNetConfig(classes=3), predict=PredictConfig(threshold=0.4)
            ),
            "--threshold is for foreground and background",
        ),
        (
            lambda: Config(
                model=UNetConfig(classes=3),
                predict=PredictConfig(boundary_threshold=0.4),
            ),
            "--boundary-threshold is for foreground and background",
        ),
        (
            lambda: Config(
                data=DataConfig(mask_kind="instances", targets="borders"),
                predict=PredictConfig(boundary_threshold=0.4),
            ),
            "--boundary-threshold is for foreground and background: the 3 classes",
        ),
        (lambda: PredictConfig(boundary_threshold=1.0), "--boundary-threshold must be"),
        (lambda: UNetConfig(classes=0), "--classes must be 1 to 255, not 0"),
        (lambda: UNetConfig(dropout=1.0), "--dropout must be 0 to below 1"),
        (lambda: UNetConfig(padding="valid", stem_stride=2), "--stem-stride 2"),
        (lambda: FitConfig(seed=-1), "--seed must be 0 to 2147483647, not -1"),
        (lambda: FitConfig(batch_size=0), "--batch-size must be 1 or more, not 0"),
        (lambda: FitConfig(learning_rate=0.0), "--learning-rate must be above 0"),
        (lambda: FitConfig(learning_rate=math.inf), "above 0 and finite, not inf"),
        (lambda: FitConfig(learning_rate=math.nan), "above 0 and finite, not nan"),
        (lambda: FitConfig(checkpoint_minutes=math.inf), "above 0 and finite"),
        (lambda: FitConfig(clip_norm=math.inf), "0 or more, and finite, not inf"),
        (lambda: FitConfig(weight_decay=math.nan), "0 or more, and finite, not nan"),
        (lambda: LossConfig(class_weights=(1.0, math.inf)), "finite and 0 or more"),
        (lambda: LossConfig(cross_entropy=0, dice=0), "at least one loss"),
        (
            lambda: LossConfig(cross_entropy=0, weight_map=True),
            "both are 0: give --cross-entropy 1",
        ),
        (lambda: LossConfig(border_weight=101.0), "--border-weight must be 0 to 100"),
        (lambda: LossConfig(border_sigma=0.0), "--border-sigma must be above 0"),
        (
            lambda: Config(
                model=UNetConfig(classes=3), loss=LossConfig(weight_map=True)
            ),
            "--weight-map is for foreground and background, not for 3 classes",
        ),
        (
            lambda: Config(
                data=DataConfig(targets="borders"), model=UNetConfig(classes=2)
            ),
            "leave --classes 2 out",
        ),
        (
            lambda: Config(
                data=DataConfig(targets="borders"), loss=LossConfig(weight_map=True)
            ),
            "two ways to keep cells apart: give one of them",
        ),
        (lambda: Config(resume=True, overwrite=True), "exclude each other"),
    ],
)
def test_a_wrong_value_is_refused_with_its_flag(make, message):
    with pytest.raises(BadUsage, match=message):
        make()


def test_configs_and_presets_load_no_tensorflow():
    code = (
        "import sys, keras_unet.presets, keras_unet.train; "
        "assert not {'tensorflow', 'keras', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
