"""The model card is what the Hugging Face Hub's own client reads."""

import json

import pytest
from bright_run import make_data, make_run
from splits import remember

from keras_unet.errors import BadData
from keras_unet.evaluate import main
from keras_unet.evaluation.card import write_card

hub = pytest.importorskip("huggingface_hub", reason="needs the extra test-core")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("carded")
    run = remember(make_run(folder / "my run", data=make_data(folder / 'a "b": #c')))
    assert main([str(run.path)]) == 0
    return run


def card_of(run):
    return hub.ModelCard.load(run.card_file)


def test_the_hub_reads_what_it_is_and_its_scores(run):
    card = card_of(run)
    assert card.data.library_name == "keras"
    assert card.data.pipeline_tag == "image-segmentation"
    assert card.data.model_name == "my run"
    assert "dice" in card.data.metrics
    results = {
        (one.dataset_split, one.metric_type): one for one in card.data.eval_results
    }
    metrics = json.loads(run.metrics_file.read_text())
    for part in ("validation", "test"):
        one = results[part, "dice"]
        assert one.metric_value == metrics[part]["dice"]
        assert one.dataset_name == 'a "b": #c'
        assert one.task_type == "image-segmentation"


def test_the_score_of_instances_and_what_cut_them_are_in_the_table(tmp_path):
    pytest.importorskip("skimage", reason="needs the extra science")
    run = remember(make_run(tmp_path / "run", data=make_data(tmp_path / "data")))
    flags = ["--instances", "--boundary-threshold", "0.5", "--split", "test"]
    assert main([str(run.path), *flags]) == 0
    text = card_of(run).text
    assert "| SEG | 1.0000 |" in text
    assert "| boundary_threshold | 0.5 |" in text


def test_it_names_no_folder_of_the_disk(run):
    assert str(run.path.parent) not in run.card_file.read_text("utf-8")


def test_it_says_data_scores_limits_and_how_to_load(run):
    text = card_of(run).text
    for words in (
        "| train | 24 | 24 |",
        "| Dice | 1.0000 (1.0000–1.0000) | 1.0000 (1.0000–1.0000) |",
        "3 images (groups: 3)",
        "brought to 16×24 pixels",
        'keras_unet.Segmenter("FOLDER")',
        "| `metrics.json` | the scores",
        "(figures/predictions.png)",
    ):
        assert words in text
    assert "saved_model" not in text


def test_other_data_that_are_scored_come_in(run, tmp_path):
    data = make_data(tmp_path / "vans", count=4, wrong=2)
    assert main([str(run.path), "--data", str(data)]) == 0
    results = card_of(run).data.eval_results
    dice = {r.dataset_name: r.metric_value for r in results if r.metric_type == "dice"}
    assert dice["vans"] == pytest.approx(0.8)


def test_one_that_was_edited_stays(tmp_path):
    run = make_run(tmp_path / "run")
    assert write_card(run)
    assert write_card(run)
    edited = run.card_file.read_text("utf-8").replace("---\n", "---\nlicense: mit\n", 1)
    run.card_file.write_text(edited, "utf-8")
    assert not write_card(run)
    assert card_of(run).data.license == "mit"


def test_a_run_that_was_not_scored_says_so(tmp_path):
    run = make_run(tmp_path / "run")
    write_card(run)
    card = card_of(run)
    assert card.data.eval_results is None
    assert "It was not scored yet." in card.text


@pytest.mark.parametrize("text", ["{", '{"test": 3}', '{"test": {"dice": "good"}}'])
def test_damaged_scores_are_named(tmp_path, text):
    run = make_run(tmp_path / "run")
    run.metrics_file.write_text(text)
    with pytest.raises(BadData, match=r"metrics\.json"):
        write_card(run)
    assert not run.card_file.exists()
