import io
import re
import zipfile

import keras
import numpy as np
import pytest

from keras_unet.config import UNetConfig
from keras_unet.errors import BadData
from keras_unet.model.unet import build_network
from keras_unet.training import checkpoint
from keras_unet.training.checkpoint import TrainingProgress


def compiled(filters=2):
    network = build_network(UNetConfig(filters=filters, depth=1, dropout=0.5))
    network.compile(keras.optimizers.Adam(), "mse", jit_compile=False)
    network.optimizer.build(network.trainable_variables)
    return network


def trained():
    network = compiled()
    images = np.zeros((2, 4, 4, 3), "float32")
    network.fit(images, np.ones((2, 4, 4, 1)), epochs=2, verbose=0)
    return network


def test_what_is_saved_comes_back(tmp_path):
    network, other = trained(), compiled()
    names = ("epoch", "loss", "dice", "val_loss", "val_dice", "seconds")
    history = [dict.fromkeys(names, 1.0) | {"epoch": 1}]
    progress = TrainingProgress(step=2, epoch=1, best=0.5, history=history)
    checkpoint.save(tmp_path / "state.npz", network, progress)
    # Keras makes the metrics' variables when it first needs them.
    other.test_on_batch(np.zeros((1, 4, 4, 3)), np.zeros((1, 4, 4, 1)))
    assert checkpoint.restore(tmp_path / "state.npz", other) == progress
    for one, two in zip(network.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    assert int(np.asarray(other.optimizer.iterations)) == 2
    assert int(other.get_layer("bottom_dropout").calls) == 2


@pytest.mark.parametrize("cut", [0, 100, -50])
def test_a_damaged_file_is_named_with_the_way_on(tmp_path, cut):
    file, network = tmp_path / "state.npz", trained()
    checkpoint.save(file, network, TrainingProgress())
    file.write_bytes(file.read_bytes()[:cut])
    with pytest.raises(BadData, match=r"state\.npz is no checkpoint .*--overwrite"):
        checkpoint.restore(file, network)


@pytest.mark.parametrize(
    "change",
    [
        {"progress": np.array("{}" * 3)},
        {"progress": np.array("[" * 100_000)},
        {"progress": np.array('{"step": "1"}')},
        {"progress": np.array('{"epoch": 2}')},
        {"progress": np.array('{"epoch": 1, "history": [{"colour": 1}]}')},
        {"progress": np.array('{"colour": 1}')},
        {"progress": np.zeros(3)},
        {"weights/0": np.array("text")},
        {"weights/0": np.array([{}], object)},
        {"weights/99": np.zeros(3)},
    ],
)
def test_a_state_of_wrong_types_is_refused(tmp_path, change):
    file, network = tmp_path / "state.npz", trained()
    checkpoint.save(file, network, TrainingProgress())
    with np.load(file) as arrays:
        changed = dict(arrays) | change
    np.savez(file, **changed)
    with pytest.raises(BadData, match=r"state\.npz is no checkpoint .*--overwrite"):
        checkpoint.restore(file, network)


def test_a_file_that_may_not_be_read_is_not_called_broken(tmp_path):
    with pytest.raises(OSError, match=re.escape(str(tmp_path))):
        checkpoint.restore(tmp_path, trained())


def test_a_state_that_fills_the_memory_is_not_called_broken(tmp_path):
    file, network = tmp_path / "state.npz", trained()
    checkpoint.save(file, network, TrainingProgress())
    header = io.BytesIO()
    large = {"shape": (10**15,), "fortran_order": False, "descr": "<f4"}
    np.lib.format.write_array_header_1_0(header, large)
    with np.load(file) as arrays:
        names = arrays.files
    with zipfile.ZipFile(file, "w") as changed:
        for name in names:
            changed.writestr(f"{name}.npy", header.getvalue())
    with pytest.raises(
        BadData, match=r"too little memory to read it, or it is damaged: Unable to"
    ):
        checkpoint.restore(file, network)


def test_the_state_of_another_network_is_refused(tmp_path):
    checkpoint.save(tmp_path / "state.npz", trained(), TrainingProgress())
    said = r"no checkpoint of this run: weights 0: expected .*3, 3\), found .*3, 2\)\."
    with pytest.raises(BadData, match=said):
        checkpoint.restore(tmp_path / "state.npz", compiled(filters=3))
