"""The pairs of some data, and their split, as a training would make them."""

from keras_unet.data.layouts import find
from keras_unet.data.pair import listing
from keras_unet.data.pairs import prepare, split_pairs
from keras_unet.errors import BadData


def find_pairs(data):
    """Returns the pairs of a DataConfig, of which none may make a problem."""
    found = find(data)
    if found.problems:
        raise BadData(listing(found.problems))
    return list(found.every)


def split_of(data):
    """Returns the split of a DataConfig, whose files are not looked into."""
    found = find(data)
    return split_pairs(found.pairs, found.validation)


def remember(run):
    """Writes the split.csv that a training of the run would have left."""
    prepare(run.load_config().data).write_split(run)
    return run
