from benchmarks.fuzz_serving import main


def test_mutated_files_get_a_mask_or_an_invalid_argument(capsys):
    assert main(["--files", "60", "--warm-up", "30"]) == 0
    printed = capsys.readouterr().out
    assert "JPEG: InvalidArgument" in printed
    assert "PNG: InvalidArgument" in printed
    assert ": a mask" in printed
