import numpy as np
import pytest
from bright_run import make_border_run, make_cells, make_data, make_run

from keras_unet.data.layouts import find
from keras_unet.evaluation.predictions import PieceScores, Scoring, predict_pairs
from keras_unet.prediction.segmenter import Segmenter


@pytest.mark.parametrize("keeps", [False, True])
def test_probabilities_are_kept_where_they_are_wanted(tmp_path, keeps):
    run = make_run(tmp_path / "run", data=make_data(tmp_path / "data", 2))
    segmenter, data = Segmenter(run), run.load_config().data
    for one in predict_pairs(segmenter, find(data).pairs, data, keeps):
        assert (one.probability is not None) == keeps
        np.testing.assert_array_equal(one.prediction, one.mask)
        if keeps:
            np.testing.assert_array_equal(one.probability > 0.5, one.mask == 1)


def test_seg_is_the_mean_over_all_pieces_of_all_images(tmp_path):
    pytest.importorskip("skimage", reason="needs the extra science")
    run = make_border_run(tmp_path / "run", data=make_cells(tmp_path / "data", 3))
    config = run.load_config()
    data = config.data
    scores = PieceScores(Scoring(instances=True), config)
    for one in predict_pairs(Segmenter(run), find(data).pairs, data):
        if not scores.columns:
            # Of the first one, one cell of the two is not found.
            one.prediction[:, 11:] = 0
        scores.add(one)
    assert scores.columns == [{"seg": 0.5}, {"seg": 1.0}, {"seg": 1.0}]
    assert scores.totals() == {"seg": pytest.approx(5 / 6)}


def test_nothing_is_scored_that_nobody_wants(tmp_path):
    run = make_run(tmp_path / "run", data=make_data(tmp_path / "data", 1))
    config = run.load_config()
    data = config.data
    scores = PieceScores(Scoring(), config)
    for one in predict_pairs(Segmenter(run), find(data).pairs, data):
        scores.add(one)
    assert (scores.columns, scores.totals()) == ([], {})
