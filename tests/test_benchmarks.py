import json
from pathlib import Path

import pytest

pytest.importorskip("benchmarks.__main__", reason="needs the checkout")

from benchmarks import pages, scaling
from benchmarks.__main__ import main

ROOT = Path(__file__).parents[1]
RESULTS = {
    "processor": "A CPU, 2 cores",
    "packages": "keras 3",
    "date": "2026-11-29",
    "parts": {
        "scaling": {
            "command": "python -m benchmarks.scaling",
            "seconds": 7,
            "lines": ["| side |", "|---|", "| 128 |", "figure: somewhere.png"],
        }
    },
}


@pytest.fixture
def checkout(tmp_path):
    """A checkout's documents, and results of its benchmarks."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "a.json").write_text(json.dumps(RESULTS), "utf-8")
    for name in pages.READMES:
        text = "before\n<!-- speed -->\nold\n<!-- /speed -->\nbehind\n"
        (tmp_path / name).write_text(text, "utf-8")
    return tmp_path


def write(checkout):
    return main(["--from", str(checkout / "a.json"), "--root", str(checkout)])


def test_the_page_is_written_from_results(checkout, capsys):
    assert write(checkout) == 0
    text = (checkout / "docs/benchmarks.md").read_text("utf-8")
    assert "A CPU, 2 cores" in text
    assert "`python -m benchmarks.scaling` (7 s)" in text
    assert "| side |\n|---|\n| 128 |" in text
    assert "somewhere.png" not in text
    assert capsys.readouterr().out.splitlines() == [
        str(checkout / name)
        for name in ("a.json", "docs/benchmarks.md", "README.md", "README.es.md")
    ]


def test_the_table_of_the_readmes_is_written_between_its_marks(checkout):
    write(checkout)
    text = (checkout / "README.es.md").read_text("utf-8")
    assert text.startswith("before\n<!-- speed -->\nMedido por `python -m benchmarks`")
    assert text.endswith("|\n<!-- /speed -->\nbehind\n")
    assert "old" not in text


def test_a_readme_without_marks_is_refused_and_left_as_it_is(checkout, capsys):
    (checkout / "README.md").write_text("no marks", "utf-8")
    assert write(checkout) == 1
    assert "expected one <!-- speed -->, found 0" in capsys.readouterr().err
    assert (checkout / "README.md").read_text("utf-8") == "no marks"


@pytest.mark.parametrize("name", pages.READMES)
def test_the_readmes_have_what_was_measured_last(name):
    every = (ROOT / "benchmarks/results").glob("*.json")
    results = [json.loads(file.read_text("utf-8")) for file in every]
    newest = max(results, key=lambda result: result["date"])
    table = "\n".join(pages.table_of(newest, pages.READMES[name]))
    assert f"-->\n{table}\n<!-- /speed -->" in (ROOT / name).read_text("utf-8")


def test_the_best_of_the_others_stands_beside_each_step():
    lines = ["| images per step | | seconds per step | quartiles | best / it |"]
    lines += ["|---|---|---|---|---|", "| 1 | ours | 2.0 | 1–3 | 1.50 |"]
    lines += ["| 1 | slow | 4.0 | 3–5 | 0.75 |", "| 1 | fast | 3.0 | 2–4 | 1.00 |"]
    results = {**RESULTS, "parts": {"train_step": {"lines": lines}}}
    *_, row = pages.table_of(results, pages.READMES["README.md"])
    assert row.endswith("| 2.0 s | fast: 3.0 s | 1.50 |")


@pytest.mark.slow
def test_time_and_memory_are_measured_by_size(tmp_path, capsys):
    figure = tmp_path / "scaling.png"
    words = ["--sides", "32", "64", "--batches", "1", "--filters", "2"]
    assert scaling.main([*words, "--repeats", "1", "--figure", str(figure)]) == 0
    out = capsys.readouterr().out
    for row in ("| train | 32 | 1 |", "| train | 64 | 1 |", "| predict | 64 | 1 |"):
        assert row in out
    assert figure.stat().st_size > 10_000


def test_one_side_shows_no_line(capsys):
    assert scaling.main(["--sides", "32"]) == 2
    assert "--sides needs two sides or more" in capsys.readouterr().err
