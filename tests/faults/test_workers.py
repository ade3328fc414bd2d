"""A worker that dies or hangs once costs time and no row; one that always does costs one row, which says so."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import polars as pl
import pytest

import facestats as fs
from facestats.core.workers import WorkerLostError, map_tasks

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow
VICTIM, SECONDS = "03.png", 3.0
ROWS = pl.DataFrame({"image_id": [f"{i:02d}.png" for i in range(8)]})
FAULTS = {
    "dies": lambda: os._exit(1),
    "is killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "hangs": lambda: time.sleep(60),
}


def work(names: list[str], *, folder: Path, fault: str, times: int) -> list[str]:
    """Work in a worker process; the victim meets its fault so many times."""
    for name in names:
        if name == VICTIM and fault and len(list(folder.glob("met*"))) < times:
            (folder / f"met{time.monotonic_ns()}").touch()
            FAULTS[fault]()
    return [f"done {name}" for name in names]


def stage(chunk: pl.DataFrame, *, folder: Path, fault: str = "", times: int = 0) -> pl.DataFrame:
    given = {
        "workers": 2,
        "task_size": 2,
        "seconds": SECONDS,
        "folder": folder,
        "fault": fault,
        "times": times,
    }
    results = [r for _, rs in map_tasks(work, chunk["image_id"].to_list(), **given) for r in rs]
    lost = [r.status if isinstance(r, WorkerLostError) else "ok" for r in results]
    texts = [str(r) for r in results]
    return chunk.select("image_id", label=pl.Series(texts), status=pl.Series(lost, dtype=fs.tables.STATUS))


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("times", [1, 9])
def test_a_lost_worker(tmp_path, fault, times):
    plain = fs.Store(tmp_path / "a").build("attributes", ROWS, stage, folder=tmp_path, progress=False)
    given = {"folder": tmp_path, "fault": fault, "times": times, "chunk_size": 4, "progress": False}
    found = fs.Store(tmp_path / "b").build("attributes", ROWS, stage, **given)
    expected = plain.drop("fingerprint")
    if times > 1:
        status = "decode_timeout" if fault == "hangs" else "decode_crash"
        assert found.filter(image_id=VICTIM)["status"].item() == status
        found, expected = (
            found.filter(pl.col("image_id") != VICTIM),
            expected.filter(pl.col("image_id") != VICTIM),
        )
    assert found.drop("fingerprint").equals(expected)
