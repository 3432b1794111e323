"""The estimate of a job's memory against processes that really run, and what is said when it does not fit."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from engine_support import DATA, ROOT, make_job

from nst import cli
from nst.engine import memory
from nst.errors import CapacityError

RUN = """
import re, sys
from pathlib import Path
from typing import Any
from nst.engine import images, malloc, memory
from nst.engine.inputs import inputs
from nst.engine.run import run_job
from engine_support import make_job
malloc.keep_freed_memory()
job = make_job(size=int(sys.argv[1]), precision=sys.argv[2], iterations=3)
given = inputs(job, Path(sys.argv[3]))
run_job(job, given, threads=1, pixel_metrics=False)
# Not ru_maxrss, which a process has from the one that started it.
peak = 1024 * int(re.search(r"VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1])
width, height = images.from_png(given.shape).size
print(peak, memory.estimate(job, height, width, sys.argv[2]))
"""


@pytest.mark.parametrize(("size", "precision"), [(64, "bfloat16"), (384, "bfloat16"), (320, "float32")])
@pytest.mark.skipif(sys.platform != "linux", reason="fitted on Linux")
def test_the_estimate_is_about_what_a_process_takes(size: int, precision: str, data: object) -> None:
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(size), precision, str(DATA)],
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    peak, estimated = map(float, done.stdout.split())
    assert estimated == pytest.approx(peak, rel=0.2)


def test_what_needs_more() -> None:
    job = make_job()
    least = memory.estimate(job, 512, 512, "bfloat16")
    assert memory.estimate(job, 512, 1024, "bfloat16") > least
    assert memory.estimate(job, 512, 512, "float32") > least
    assert memory.estimate(make_job(optimizer="lbfgs"), 512, 512, "bfloat16") > least
    assert memory.estimate(make_job(init="adain"), 512, 512, "bfloat16") > least
    assert memory.estimate(make_job(style_loss="sliced_wasserstein"), 512, 512, "bfloat16") > least
    assert memory.estimate(make_job(size=512, style_scale=4.0), 512, 512, "bfloat16") > least


@pytest.mark.parametrize(("free", "named"), [(2e9, 1056), (3e9, 1600), (3.8e9, 1856)])
def test_the_size_that_is_named_fits_and_the_next_does_not(free: float, named: int) -> None:
    with pytest.raises(CapacityError) as caught:
        memory.check(make_job(size=4096), 3072, 4096, "bfloat16", free)
    needed = memory.estimate(make_job(size=4096), 3072, 4096, "bfloat16")
    assert str(caught.value) == (
        f"a transfer at 4096 px needs about {needed / 1e9:.1f} GB of memory and {free / 1e9:.1f} GB are free: "
        f"a size of {named} or less fits"
    )
    memory.check(make_job(size=named), named * 3 // 4, named, "bfloat16", free)
    with pytest.raises(CapacityError, match=f"a size of {named}"):
        memory.check(make_job(size=named + 32), (named + 32) * 3 // 4, named + 32, "bfloat16", free)


def test_what_large_pictures_keep_of_their_originals_counts() -> None:
    """Shallow content layers have many activations; what is sorted, and an AdaIN start, are seen at once."""

    def needed(**changes: Any) -> float:
        return memory.estimate(make_job(size=4096, **changes), 2731, 4096, "float32")

    assert needed(content_layers=("conv1_1",)) - needed(content_layers=("conv4_2",)) > 4e9
    assert needed(init="adain", ladder=0) > needed(init="adain") + 1e9
    sorts = {"size": 512, "style_scale": 8.0, "style_loss": "sliced_wasserstein"}
    assert memory.estimate(make_job(**sorts), 512, 512, "bfloat16") > 2e10


def test_a_large_square_fits_into_4_gb_in_tiles() -> None:
    memory.check(make_job(size=2048), 2048, 2048, "bfloat16", 4e9)


def test_2048_px_at_3_to_2_fit_into_4_gb_where_bfloat16_is_fast() -> None:
    memory.check(make_job(size=2048), 1365, 2048, "bfloat16", 4e9)


def test_a_larger_picture_never_needs_less_but_where_tiles_begin() -> None:
    first_in_tiles = 1680
    for precision in ("bfloat16", "float32"):
        for sides in (range(64, first_in_tiles, 16), range(first_in_tiles, 4096, 16)):
            needed = [memory.estimate(make_job(), side, side, precision) for side in sides]
            assert needed == sorted(needed)
            assert {memory.in_tiles(make_job(), side, side) for side in sides} == {sides.start == first_in_tiles}


def test_where_no_size_fits_none_is_named() -> None:
    with pytest.raises(CapacityError, match=r"0\.1 GB are free: close other programs"):
        memory.check(make_job(), 48, 48, "bfloat16", 0.1e9)


def test_the_command_says_it_before_it_starts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, data: Path
) -> None:
    monkeypatch.setattr(memory, "available", lambda: 1e9)
    pictures = [str(data / "content" / "egeskov.jpg"), str(data / "style" / "great_wave.jpg")]
    code = cli.main(
        ["transfer", *pictures, "-o", str(tmp_path / "out.png"), "--size", "2048", "--precision", "float32", "-q"]
    )
    assert code == 2
    said = capsys.readouterr().err
    assert said.startswith("error: a transfer at 2048 px needs about ")
    assert said.endswith(" GB of memory and 1.0 GB are free: a size of 288 or less fits\n")
    assert not (tmp_path / "out.png").exists()


def test_there_is_memory_left_here() -> None:
    assert memory.available() > 1e8
