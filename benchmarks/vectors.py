"""Measure clusters and searches over a million vectors: time, peak memory, and the bare matrix product.

The data are synthetic unit vectors of 512 dimensions around 40 centres, in a Parquet table as `Store.build` writes it. Each
step runs in its own process, so that its peak memory can be measured.

- clusters: `cluster_faces` (12 clusters), then `clusters.members` (exemplars and outliers), on the table in memory;
- ours: `search_faces` over a memory-mapped Arrow file in the page cache, top 12;
- bare: ``matrix @ query`` in numpy, vectors in memory, without ranking;
- parquet: `search_faces` over the lazy Parquet table, in batches.

    python benchmarks/vectors.py --n 1000000 --rounds 5

The result goes to benchmarks/results/ as Markdown and JSON, with date, git revision, machine and versions.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.ipc
from common import describe_machine, keep, rate_table

import facestats as fs
from facestats.store.table_files import write_part

if TYPE_CHECKING:
    from collections.abc import Callable

DIM = 512
PART = 100_000
CENTRES = 40
TARGETS = {"clusters and members, s": 180, "clusters, peak GiB": 6, "one search, s": 2}
PACKAGES = ("numpy", "polars", "scikit-learn")


def write_vectors(folder: Path, *, n: int, seed: int = 0) -> None:
    """Write `n` vectors to ``table.parquet/`` and ``vectors.arrow``."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(CENTRES, DIM)).astype(np.float32)
    for start in range(0, n, PART):
        size = min(PART, n - start)
        x = centres[rng.integers(CENTRES, size=size)]
        x += 2 * rng.normal(size=x.shape).astype(np.float32)
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        names = [f"{i:09d}.jpg" for i in range(start, start + size)]
        part = pl.DataFrame({"image_id": names, "embedding": pl.Series(x, dtype=pl.Array(pl.Float32, DIM))})
        write_part(part, folder / "table.parquet" / f"part-{start // PART:05d}.parquet", {})
    scan_table(folder).sink_ipc(folder / "vectors.arrow")


def scan_table(folder: Path) -> pl.LazyFrame:
    """Open the Parquet table as `Store.scan` does."""
    return pl.scan_parquet(sorted((folder / "table.parquet").glob("*.parquet")))


def time_clusters(folder: Path, rounds: int) -> dict[str, Any]:
    """Time the assignment of clusters and the ranking of members, by wall clock and processor; ignores `rounds`."""
    table = scan_table(folder).collect()
    start, worked = time.perf_counter(), time.process_time()
    clusters = fs.cluster_faces(table, n_clusters=12, seed=0)
    middle = time.perf_counter()
    members = fs.clusters.members(table, clusters)
    end = time.perf_counter()
    assert members.height == table.height
    processor = time.process_time() - worked
    return {"cluster_faces": middle - start, "clusters.members": end - middle, "processor": processor}


def time_searches(folder: Path, rounds: int) -> dict[str, Any]:
    """Time each kind of search in interleaved rounds; the first round is a warm-up."""
    table = scan_table(folder).collect()
    matrix = table["embedding"].to_numpy()
    query = matrix[7] + matrix[8]
    arrow = pl.from_arrow(pa.ipc.open_file(pa.memory_map(str(folder / "vectors.arrow"))).read_all())
    assert isinstance(arrow, pl.DataFrame)
    runs: dict[str, Callable[[], Any]] = {
        "ours": lambda: fs.search_faces(arrow, query),
        "bare": lambda: matrix @ query,
    }
    seconds = _time(runs, rounds)
    best = np.argsort(-(matrix @ query), kind="stable")[:12]
    assert fs.search_faces(arrow, query)["image_id"].to_list() == table["image_id"].gather(best).to_list()
    return seconds


def time_streams(folder: Path, rounds: int) -> dict[str, Any]:
    """Time a search over the lazy Parquet table, with nothing else in memory."""
    query = np.ones(DIM, dtype=np.float32)
    return _time({"parquet": lambda: fs.search_faces(scan_table(folder), query)}, min(rounds, 2))


def _time(runs: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            seconds[name] += [time.perf_counter() - start] if number else []
    return seconds


def alone(
    step: Callable[[Path, int], dict[str, Any]], folder: Path, rounds: int
) -> tuple[dict[str, Any], float]:
    """Run a step in its own process; return its result and its peak memory in GiB."""
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(_measured, (step, folder, rounds))


def _measured(
    step: Callable[[Path, int], dict[str, Any]], folder: Path, rounds: int
) -> tuple[dict[str, Any], float]:
    result = step(folder, rounds)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return result, peak / (2**30 if sys.platform == "darwin" else 2**20)


def main() -> None:
    """Measure, print and store the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--n", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    facts = describe_machine(PACKAGES)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_vectors(folder, n=args.n)
        clusters, cluster_peak = alone(time_clusters, folder, 1)
        searches, _ = alone(time_searches, folder, args.rounds)
        streams, stream_peak = alone(time_streams, folder, args.rounds)
    seconds = searches | streams
    reached = {
        "clusters and members, s": clusters["cluster_faces"] + clusters["clusters.members"],
        "clusters, peak GiB": cluster_peak,
        "one search, s": float(np.median(seconds["ours"])),
    }
    rates = {name: [args.n / 1e6 / s for s in values] for name, values in seconds.items()}
    lines = [
        "# A million vectors",
        "",
        "; ".join(f"{k}: {v}" for k, v in facts.items()),
        "",
        f"{args.n:,} unit vectors of {DIM} dimensions, float32 ({args.n * DIM * 4 / 2**30:.2f} GiB).",
        "",
        f"- cluster_faces: {clusters['cluster_faces']:.0f} s; clusters.members: {clusters['clusters.members']:.0f} s"
        f" ({clusters['processor']:.0f} processor seconds together)",
        f"- peak memory with the table in it: {cluster_peak:.2f} GiB",
        f"- peak memory of a search over the lazy Parquet table: {stream_peak:.2f} GiB",
        "",
        "Searches, million vectors a second:",
        "",
        *rate_table(rates),
        "",
        *(f"- {name}: {value:.2f}, target at most {TARGETS[name]}" for name, value in reached.items()),
    ]
    peaks = {"clusters": cluster_peak, "stream": stream_peak}
    keep(
        "vectors",
        "\n".join(lines) + "\n",
        facts=facts,
        n=args.n,
        clusters=clusters,
        seconds=seconds,
        peak_gib=peaks,
    )


if __name__ == "__main__":
    main()
