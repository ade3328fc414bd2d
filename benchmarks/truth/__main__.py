"""Compare nominal and measured coverage or level of the statistics.

    python -m benchmarks truth --n-draws 500

Prints a table; the exit code is 1 if a case is out of bounds.
"""

from __future__ import annotations

import argparse
import sys

import polars as pl
from benchmarks.truth.cases import every_case


def main() -> int:
    """Measure every case whose name holds the given word."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--n-draws", type=int, default=500)
    parser.add_argument("--only", default="", help="a part of the name of a statistic")
    arguments = parser.parse_args()
    rows = []
    for case in every_case():
        if arguments.only in case.point:
            measured = case.measure(arguments.n_draws)
            nominal = 0.95 if case.kind == "coverage" else 0.05
            right = case.is_right(measured, arguments.n_draws)
            rows.append(
                (case.point, case.case, case.kind, nominal, measured, "" if right else "OUT OF BOUNDS")
            )
            print(*rows[-1], sep=" | ", flush=True)
    schema = ["statistic", "case", "kind", "nominal", "measured", ""]
    with pl.Config(tbl_rows=-1, fmt_str_lengths=60, tbl_hide_dataframe_shape=True, tbl_width_chars=140):
        print(pl.DataFrame(rows, schema=schema, orient="row"))
    return int(any(row[-1] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
