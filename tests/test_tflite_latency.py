import pytest
import tiny_run

from benchmarks.tflite_latency import main

pytest.importorskip(
    "ai_edge_litert",
    reason="ai-edge-litert is not installed; it has no wheels for Intel Macs",
)
FEW = ["--repeats", "1", "--steps", "1", "--warm-up", "1"]


def test_every_file_gets_a_row_beside_the_last_one(capfd):
    files = tiny_run.tflite_files()
    assert main([str(files["int8"]), str(files["float32"]), *FEW]) == 0
    printed = capfd.readouterr().out
    assert "int8.tflite" in printed
    assert "1.00" in printed.split("float32.tflite")[1]


def test_no_file_at_all_ends_with_status_2(capsys):
    assert main([]) == 2
    assert "give the paths of TFLite files" in capsys.readouterr().err


def test_a_missing_file_ends_with_status_1_and_its_name(tmp_path, capsys):
    assert main([str(tmp_path / "gone.tflite")]) == 1
    assert "gone.tflite is missing" in capsys.readouterr().err
