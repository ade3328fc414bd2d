"""Kill `facestats extract` several times: each picture must be in the output exactly once.

    python benchmarks/extract_killed.py --n 2000 --kills 5

Draws characters, starts ``facestats extract --directory``, kills it with SIGKILL at random moments, and starts it again.
Then the output is compared with the folder, and with the output of a run that was not killed.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from common import describe_machine, keep

import facestats as fs
from facestats.demo.gallery import write_gallery

ROOT = Path(__file__).parents[1]
CONFIG = 'data_dir: {data}\nattributes: {attributes}\nembeddings: {{model: "local-dir:${{package}}/demo/clip"}}\ntext_labels: {{model: "${{package}}/demo/bart"}}\n'


def command(folder: Path, out: Path, config: Path) -> list[str]:
    """Return the command that labels a folder without a cache, so that runs share nothing but the output file."""
    start = [
        sys.executable,
        "-c",
        "from facestats.surfaces.cli.commands import main; main()",
        "extract",
        "--no-cache",
    ]
    return [*start, "--directory", str(folder), "--out", str(out), "--config", str(config)]


def count_lines(file: Path) -> int:
    """Count the whole lines of a file that may not exist yet."""
    return file.read_bytes().count(b"\n") if file.exists() else 0


def read_answers(file: Path) -> dict[str, dict]:
    """Read the answers by id, without the seconds that they took."""
    read = [json.loads(line) for line in file.read_text().splitlines()]
    return {answer["id"]: {k: v for k, v in answer.items() if k != "processing_time"} for answer in read}


def kill_repeatedly(arguments: list[str], out: Path, *, total: int, kills: int, seed: int) -> list[int]:
    """Start and kill the command; return the number of lines after each kill."""
    chooser, seen = random.Random(seed), []
    for goal in sorted(chooser.sample(range(total // 10, 9 * total // 10), kills)):
        process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while count_lines(out) < goal and process.poll() is None:
            time.sleep(0.02)
        time.sleep(chooser.random())
        process.kill()
        process.wait()
        seen.append(count_lines(out))
    return seen


def main() -> None:
    """Draw, label with and without kills, and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--n", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=5)
    arguments = parser.parse_args()
    facts = describe_machine(["facestats", "torch", "mediapipe"])
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        raw, config = folder / "pictures", folder / "config.yaml"
        config.write_text(CONFIG.format(data=folder / "data", attributes=ROOT / "config/attributes.yaml"))
        write_gallery(raw, n=arguments.n, seed=arguments.seed)
        wanted = fs.list_images(raw)["image_id"].to_list()
        begun = time.perf_counter()
        subprocess.run(command(raw, folder / "whole.jsonl", config), stderr=subprocess.DEVNULL, check=False)
        seconds = time.perf_counter() - begun
        out = folder / "killed.jsonl"
        again = command(raw, out, config)
        seen = kill_repeatedly(again, out, total=len(wanted), kills=arguments.kills, seed=arguments.seed)
        subprocess.run(again, stderr=subprocess.DEVNULL, check=False)
        counts = Counter(json.loads(line)["id"] for line in out.read_text().splitlines())
        once = set(counts.values()) == {1} and sorted(counts) == sorted(wanted)
        same = read_answers(out) == read_answers(folder / "whole.jsonl")
    text = (
        f"# extract, killed, {facts['date'][:10]}\n\n{facts['machine']}; `python benchmarks/extract_killed.py --n"
        f" {arguments.n} --kills {arguments.kills}`\n\n- {len(wanted)} files in {seconds:.0f} s without kills:"
        f" {len(wanted) / seconds:.1f} per second, start included\n- lines after each kill: {seen}\n"
        f"- each exactly once: {once}; the same answers as without kills: {same}\n"
    )
    keep("extract_killed", text, facts=facts, seconds=seconds, seen=seen, once=once, same=same)
    if not (once and same):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
