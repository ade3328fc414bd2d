"""The terminal of `facestats run` shows how far a stage is, not only how many cells are done."""

import io
from pathlib import Path

import pytest
from papermill import execute_notebook
from tqdm import tqdm

from facestats.surfaces.notebooks.run_progress import KERNEL_VARIABLES, StageProgress, show_stage_progress
from tests.surfaces.conftest import write_notebook


class Terminal(io.StringIO):
    def isatty(self):
        return True


def bar_text(n, total, **options):
    """What tqdm writes for `n` of `total` rows."""
    stream = io.StringIO()
    bar = tqdm(total=total, desc="embeddings", unit="row", file=stream, initial=0, mininterval=0, **options)
    bar.update(n)
    bar.set_postfix(failed=2)
    bar.close()
    return stream.getvalue()


@pytest.mark.parametrize("unit_scale", [False, True])
def test_a_line_holds_what_the_bar_holds(unit_scale):
    stream = io.StringIO()
    StageProgress(stream, seconds=0).write(bar_text(1200, 5000, unit_scale=unit_scale))
    line = stream.getvalue()
    done = "1.20k of 5.00k" if unit_scale else "1200 of 5000"
    assert line.startswith(f"embeddings: {done}, "), line
    assert "row/s, " in line
    assert line.endswith("left, failed=2\n")


def test_other_text_and_finished_bars_give_no_line():
    stream = io.StringIO()
    progress = StageProgress(stream, seconds=0)
    progress.write("UserWarning: 50% of [the] pictures: 3/4\n")
    progress.write(bar_text(4, 4).rpartition("\r")[2])
    progress.flush()
    assert not stream.getvalue()


def test_without_a_terminal_lines_are_rare():
    stream = io.StringIO()
    progress = StageProgress(stream, seconds=1000)
    for n in range(1, 50):
        progress.write(bar_text(n, 100))
    assert not stream.getvalue()


def test_in_a_terminal_the_line_is_written_over_and_removed():
    stream = Terminal()
    with show_stage_progress(stream) as progress:
        progress.write(bar_text(1, 100))
        progress.write(bar_text(60, 100))
        assert "embeddings: 60 of 100, " in stream.getvalue()
    assert stream.getvalue().count("\n") <= 6  # the cursor moves to the line below the cells and back
    last = stream.getvalue().rpartition("embeddings")[2]
    assert last.rstrip("\x1b[A\r\n ").count(":") <= 2  # blanks follow: the line is gone


@pytest.mark.parametrize("bars", ["text", "widgets"])
def test_progress_of_a_running_kernel_arrives(tmp_path, monkeypatch, bars):
    """Without the variable of `facestats run`, the kernel of Jupyter draws widgets, which are no text."""
    for name, value in KERNEL_VARIABLES.items():
        monkeypatch.setenv(name, value) if bars == "text" else monkeypatch.delenv(name, raising=False)
    write_notebook(
        tmp_path / "01_a.ipynb",
        "x = 1",
        "import time\nfrom facestats.core.progress import advance, progress_bar\n"
        "with progress_bar('faces', 40):\n    for _ in range(4):\n        advance(10, failed=1); time.sleep(0.6)",
    )
    stream = io.StringIO()
    progress = StageProgress(stream, seconds=0)
    execute_notebook(
        tmp_path / "01_a.ipynb",
        tmp_path / "out.ipynb",
        progress_bar=False,
        stderr_file=progress,
        cwd=Path.cwd(),
    )
    lines = stream.getvalue().splitlines()
    if bars == "text":
        assert any(line.startswith("faces: 20 of 40, ") and line.endswith("failed=2") for line in lines), (
            lines
        )
