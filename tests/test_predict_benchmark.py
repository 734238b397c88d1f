import sys

import pytest
from bright_run import draw, make_run, square

from benchmarks import predict

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="memory is counted otherwise"
)


@pytest.fixture
def flags(tmp_path):
    for number in range(5):
        draw(tmp_path / "in" / f"{number}.png", square(shift=number))
    run = make_run(tmp_path / "run")
    return ["--run", str(run.path), "--data", str(tmp_path / "in"), "--repeats", "1"]


def test_a_table_has_the_shares_of_the_network_and_of_the_loop(flags, capfd):
    assert predict.main(flags) == 0
    printed = capfd.readouterr().out
    for name in (predict.NETWORK, predict.PREDICT, predict.LOOP):
        assert f"| {name} |" in printed
    loop = printed.split(f"| {predict.LOOP} |")[1]
    assert loop.splitlines()[0].endswith("| 1.00 |")


def test_a_soak_draws_the_memory(flags, tmp_path, capfd):
    figure = tmp_path / "soak.png"
    assert predict.main([*flags, "--soak", "12", "--figure", str(figure)]) == 0
    assert "after image 6 of 12" in capfd.readouterr().out
    assert figure.stat().st_size > 1000


def test_one_large_image_is_compared_with_64_small_ones(flags, capfd):
    assert predict.main([*flags, "--large", "--large-side", "64"]) == 0
    printed = capfd.readouterr().out
    assert "64 images of 8×8: " in printed
    assert "the large one takes" in printed
