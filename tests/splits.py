"""The split of some data, as a training would make it."""

from keras_unet.data.layouts import find
from keras_unet.data.pairs import prepare, split_pairs


def split_of(data):
    """Returns the split of a DataConfig, whose files are not looked into."""
    found = find(data)
    return split_pairs(found.pairs, found.validation)


def remember(run):
    """Writes the split.csv that a training of the run would have left."""
    prepare(run.load_config().data).write_split(run)
    return run
