import subprocess
import sys

import pytest

import keras_unet


@pytest.mark.parametrize("name", keras_unet.__all__)
def test_every_public_name_is_there_and_documented(name):
    assert getattr(keras_unet, name).__doc__


def test_an_unknown_name_is_an_attribute_error():
    name = "unet"
    with pytest.raises(AttributeError, match="has no attribute 'unet'"):
        getattr(keras_unet, name)


def test_importing_the_package_loads_no_tensorflow_and_using_it_is_quiet():
    code = (
        "import sys, keras_unet\n"
        "assert 'tensorflow' not in sys.modules\n"
        "keras_unet.build_unet(keras_unet.UNetConfig(filters=1, depth=1))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_dir_lists_the_public_names():
    assert set(keras_unet.__all__) <= set(dir(keras_unet))


@pytest.mark.parametrize(
    "first", ["import keras_unet", "import keras_unet.train", "import keras_unet.data"]
)
def test_train_is_a_function_and_a_module(first):
    code = (
        f"{first}\n"
        "import sys, keras_unet\n"
        "try: keras_unet.train(keras_unet.Config(resume=True, output='nowhere'))\n"
        "except keras_unet.BadUsage as error: print(error)\n"
        "from keras_unet.train import run\n"
        "assert keras_unet.train.run is run\n"
        "assert 'tensorflow' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("--resume finds no run in --output nowhere")
