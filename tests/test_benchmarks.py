import json

import pytest

pytest.importorskip("benchmarks.__main__", reason="needs the checkout")

from benchmarks import scaling
from benchmarks.__main__ import main, page_of

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


def test_the_page_is_written_from_results(tmp_path, capsys):
    file, page = tmp_path / "a.json", tmp_path / "page.md"
    file.write_text(json.dumps(RESULTS), "utf-8")
    assert main(["--from", str(file), "--page", str(page)]) == 0
    text = page.read_text("utf-8")
    assert "A CPU, 2 cores" in text
    assert "| side |\n|---|\n| 128 |" in text
    assert "somewhere.png" not in text
    assert capsys.readouterr().out.splitlines() == [str(file), str(page)]


def test_the_page_names_machine_and_command():
    assert "`python -m benchmarks.scaling` (7 s)" in list(page_of(RESULTS))


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
