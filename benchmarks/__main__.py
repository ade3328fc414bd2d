"""Run a benchmark by its name: python -m benchmarks truth --n-draws 500."""

import runpy
import sys

if len(sys.argv) < 2:
    sys.exit("usage: python -m benchmarks NAME [OPTIONS]; the names are those of the files in benchmarks/")
name = sys.argv.pop(1)
runpy.run_module(f"benchmarks.{name}", run_name="__main__", alter_sys=True)
