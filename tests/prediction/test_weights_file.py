"""Files of weights as a stranger could make them."""

import shutil

import h5py
import numpy as np
import pytest
from bright_run import draw, make_run, square

from keras_unet.errors import BadData
from keras_unet.predict import main
from keras_unet.prediction.weights_file import load_network

KERNEL = "layers/conv2d/vars/0"


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("run"))


@pytest.fixture
def run(good, tmp_path):
    shutil.copytree(good.path, tmp_path / "run")
    return type(good)(tmp_path / "run")


@pytest.fixture
def secret(tmp_path):
    """A file of the machine that no answer may hold."""
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["kernel"] = np.full((3, 3, 3, 1), 42.0, np.float32)
    (tmp_path / "secret.raw").write_bytes(bytes(4096))
    return tmp_path


def external_link(file, secret):
    del file[KERNEL]
    file[KERNEL] = h5py.ExternalLink(str(secret / "secret.h5"), "/kernel")


def external_link_of_a_group(file, secret):
    del file["layers"]
    file["layers"] = h5py.ExternalLink(str(secret / "secret.h5"), "/")


def external_link_that_nobody_asks_for(file, secret):
    file["more"] = h5py.ExternalLink(str(secret / "secret.h5"), "/kernel")


def soft_link(file, secret):
    file["away"] = h5py.SoftLink("/layers")


def external_storage(file, secret):
    del file[KERNEL]
    raw = [(str(secret / "secret.raw"), 0, 108)]
    file.create_dataset(KERNEL, (3, 3, 3, 1), "f4", external=raw)


def virtual(file, secret):
    del file[KERNEL]
    layout = h5py.VirtualLayout((3, 3, 3, 1), "f4")
    layout[:] = h5py.VirtualSource(
        str(secret / "secret.h5"), "kernel", shape=(3, 3, 3, 1)
    )
    file.create_virtual_dataset(KERNEL, layout)


def absurd_shape(file, secret):
    del file[KERNEL]
    file.create_dataset(KERNEL, (1 << 40,), "f4", chunks=(1 << 20,))


def absurd_shape_elsewhere(file, secret):
    file.create_dataset("optimizer/vars/0", (1 << 30,), "f4", compression="gzip")


def text(file, secret):
    del file[KERNEL]
    file[KERNEL] = "kernel"


def nothing(file, secret):
    del file[KERNEL]
    file[KERNEL] = h5py.Empty("f4")


def compound(file, secret):
    del file[KERNEL]
    file[KERNEL] = np.zeros((3, 3, 3, 1), [("a", "f4"), ("b", "f4")])


def named_type(file, secret):
    file["more"] = np.dtype("f4")


def endless(file, secret):
    file["layers/more"] = file["layers"]


def filtered(file, secret):
    del file[KERNEL]
    file.create_dataset(KERNEL, data=np.zeros((3, 3, 3, 1)), compression="lzf")


def not_a_number(file, secret):
    file[KERNEL][0] = np.nan


def infinite(file, secret):
    file[KERNEL][0] = -np.inf


def not_a_number_where_nothing_is_stored(file, secret):
    del file[KERNEL]
    file.create_dataset(KERNEL, (3, 3, 3, 1), "f4", chunks=True, fillvalue=np.nan)


def another_shape(file, secret):
    del file[KERNEL]
    file[KERNEL] = np.zeros((3, 1, 3, 1), np.float32)


def one_weight_less(file, secret):
    del file[KERNEL]


def layers_under_other_names(file, secret):
    file.move("layers/conv2d", "layers/dense")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (external_link, f"/{KERNEL} is a link to another place or file"),
        (external_link_of_a_group, "/layers is a link to another place or file"),
        (external_link_that_nobody_asks_for, "/more is a link to another place"),
        (soft_link, "/away is a link to another place or file"),
        (external_storage, f"/{KERNEL} keeps its numbers in another file"),
        (virtual, f"/{KERNEL} keeps its numbers in another file"),
        (absurd_shape, "says that it holds 1099511627776 numbers, more than any"),
        (absurd_shape_elsewhere, "/optimizer/vars/0 says that it holds 1073741824"),
        (text, f"/{KERNEL} holds no numbers"),
        (nothing, f"/{KERNEL} holds no numbers"),
        (compound, f"/{KERNEL} holds no numbers"),
        (named_type, "/more is neither a group nor an array"),
        (endless, "/layers/more makes the file endless"),
        (filtered, f"/{KERNEL} is compressed in a way that Keras does not write"),
        (not_a_number, f"/{KERNEL} holds NaN or infinite numbers"),
        (infinite, f"/{KERNEL} holds NaN or infinite numbers"),
        (not_a_number_where_nothing_is_stored, "holds NaN or infinite numbers"),
        (another_shape, "but the network of config.json has"),
        (one_weight_less, "but the network of config.json has"),
        (layers_under_other_names, r"\(the layers are others\)"),
    ],
)
def test_weights_that_are_not_the_network_s_own_are_refused_in_one_sentence(
    run, secret, change, message
):
    with h5py.File(run.weights_file, "a") as file:
        change(file, secret)
    with pytest.raises(BadData, match=message) as refused:
        load_network(run)
    assert str(refused.value).startswith(str(run.weights_file))
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize("content", [b"", b"no weights", None])
def test_a_file_that_is_cut_or_of_another_kind_is_refused(run, content):
    whole = run.weights_file.read_bytes()
    run.weights_file.write_bytes(whole[:3000] if content is None else content)
    with pytest.raises(BadData, match="is no file of weights, or is damaged"):
        load_network(run)


def test_the_command_says_one_line_and_nothing_of_keras(run, tmp_path, capfd):
    other = make_run(tmp_path / "other", classes=3)
    shutil.copy(other.weights_file, run.weights_file)
    draw(tmp_path / "a.png", square())
    words = [str(run.path), str(tmp_path / "a.png"), "--output", str(tmp_path / "out")]
    assert main(words) == 1
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 1
    assert "weights of" in lines[0]


def test_compressed_weights_are_read(run):
    before = load_network(run).get_weights()
    with h5py.File(run.weights_file, "a") as file:
        kernel = file[KERNEL][()]
        del file[KERNEL]
        file.create_dataset(KERNEL, data=kernel, compression="gzip", shuffle=True)
    for one, other in zip(before, load_network(run).get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
