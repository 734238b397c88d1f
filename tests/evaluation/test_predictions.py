import numpy as np
import pytest
from bright_run import make_border_run, make_cells, make_data, make_run
from PIL import Image

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


def test_pixels_that_are_ignored_count_in_no_score_of_pieces(tmp_path):
    pytest.importorskip("skimage", reason="needs the extra science")
    data = make_cells(tmp_path / "data", 1)
    ids = np.asarray(Image.open(data / "masks/cells0.png")).copy()
    ids[:, 11:] = 99
    Image.fromarray(ids).save(data / "masks/cells0.png")
    ignoring = {"data": data, "mask_kind": "instances", "foreground_above": 0}
    run = make_run(tmp_path / "run", ignore_values=(99,), **ignoring)
    data = run.load_config().data
    scores = PieceScores(Scoring(instances=True, membranes=True), run.load_config())
    for one in predict_pairs(Segmenter(run), find(data).pairs, data, True):
        one.prediction[:], one.probability[:] = one.mask == 1, one.mask == 1
        # The cell goes on where nobody knows what is there.
        one.prediction[3:13, 11:], one.probability[3:13, 11:] = 1, 1
        scores.add(one)
    found = scores.totals()
    assert found["seg"] == 1
    assert found["membranes"]["pixel_error"] == 0
    assert found["membranes"]["warping_error"] == 0


def found_as(probability, run, wanted):
    """Returns the scores, after a search, of what a network is said to have found."""
    config = run.load_config()
    data = config.data
    scores = PieceScores(wanted, config, search=True)
    for one in predict_pairs(Segmenter(run), find(data).pairs, data, True):
        one.probability[:] = probability
        one.prediction[:] = one.probability > 0.5
        scores.add(one)
    return scores.totals()


def test_membranes_are_between_numbered_cells_that_touch(tmp_path):
    pytest.importorskip("skimage", reason="needs the extra science")
    cells = np.zeros((32, 48), np.uint8)
    cells[4:28, 4:24], cells[4:28, 24:44] = 1, 2
    inside = np.where(cells > 0, 0.98, 0.02)
    inside[4:28, 23:25] = 0.3
    for name, pixels in (("images", cells * 100), ("masks", cells)):
        (tmp_path / name).mkdir()
        Image.fromarray(pixels).save(tmp_path / name / "a.png")
    given = {"mask_kind": "instances", "mask_reading": "levels", "foreground_above": 0}
    run = make_run(tmp_path / "run", data=tmp_path, image_size=cells.shape, **given)
    found = found_as(inside, run, Scoring(instances=True, membranes=True))
    assert found["instances"] == {"v_rand": 1.0, "v_info": 1.0}
    assert found["membranes"]["v_rand"] == found["best_instances"]["v_rand"] == 1.0
    assert found["membranes"]["pixel_error"] == 0


def test_pieces_that_touch_at_a_corner_are_one_in_truth_and_prediction(tmp_path):
    truth = np.zeros((16, 24), np.uint8)
    truth[2:8, 2:8] = truth[8:14, 8:14] = 255
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
        Image.fromarray(truth).save(tmp_path / name / "a.png")
    run = make_run(tmp_path / "run", data=tmp_path, image_size=truth.shape)
    for membranes in (False, True):
        wanted = Scoring(instances=True, membranes=membranes)
        assert found_as(truth / 255, run, wanted)["seg"] == 1.0


def test_nothing_is_scored_that_nobody_wants(tmp_path):
    run = make_run(tmp_path / "run", data=make_data(tmp_path / "data", 1))
    config = run.load_config()
    data = config.data
    scores = PieceScores(Scoring(), config)
    for one in predict_pairs(Segmenter(run), find(data).pairs, data):
        scores.add(one)
    assert (scores.columns, scores.totals()) == ([], {})
