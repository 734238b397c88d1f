import importlib
import json
import pkgutil
import subprocess
import sys

import keras
import pytest

import keras_unet
from keras_unet import config

LOADS = """
import importlib, json, sys
files, modules = json.loads(sys.argv[1])
for module in modules:
    importlib.import_module(module)
import keras
print([keras.models.load_model(file).count_params() for file in files])
"""


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Two networks, compiled for training: their files and numbers of weights."""
    folder = tmp_path_factory.mktemp("saved")
    files, counts = [], []
    for norm, optimizer in [("batch", "adamw"), ("group", "sgd")]:
        fit = config.FitConfig(optimizer=optimizer, precision="float32")
        network = keras_unet.compile_network(
            config.Config(
                model=config.UNetConfig(filters=1, depth=1, normalization=norm), fit=fit
            ),
            steps=3,
            device=keras_unet.use_device(fit),
        )
        files.append(str(folder / f"{norm}.keras"))
        network.save(files[-1])
        counts.append(network.count_params())
    return files, counts


@pytest.mark.parametrize(
    "modules", [["keras_unet"], ["keras", "keras_unet"], ["keras_unet", "tensorflow"]]
)
def test_importing_the_package_is_enough_to_load_a_saved_network(saved, modules):
    files, counts = saved
    words = [sys.executable, "-c", LOADS, json.dumps([files, modules])]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.stdout == f"{counts}\n", done.stderr


def test_every_registered_class_has_its_home():
    for module in pkgutil.walk_packages(keras_unet.__path__, "keras_unet."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    registry = keras.saving.get_custom_objects()
    ours = {name for name in registry if name.startswith("keras_unet>")}
    assert ours == {f"keras_unet>{name}" for name in keras_unet._REGISTERED}
    for name, home in keras_unet._REGISTERED.items():
        assert registry[f"keras_unet>{name}"].__module__ == f"keras_unet.{home}"
