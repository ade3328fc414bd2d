from __future__ import annotations

import http.server
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from facestats.surfaces.cli.doctor import EXTRAS, PACKAGES, examine
from facestats.testing import draw_faces

ROOT = Path(__file__).parents[3]
MAIN = "from facestats.surfaces.cli.commands import main; main()"


def test_the_demo_configuration_is_well_and_everything_is_looked_at():
    found = {name: (well, text) for name, well, text in examine(ROOT / "config" / "demo.yaml")}
    assert {*PACKAGES, "python", "device", "configuration", "CLIP", "text model", "landmarks", "disk"} <= set(
        found
    )
    assert found["CLIP"][0]
    assert found["text model"][0]
    assert found["configuration"][1].endswith("demo.yaml")
    for name, place in (("CLIP", "demo/clip"), ("text model", "demo/bart")):
        assert found[name][1].endswith(f" in {ROOT / 'src/facestats' / place}"), (
            "where it was looked for is said"
        )
    assert found["pictures"][0], "a fresh clone is well: the first run draws them"
    for name in EXTRAS:
        assert found[name][0], "an extra that is not there is no fault"
        assert found[name][1][0].isdigit() or "optional: pip install 'facestats[" in found[name][1]


def test_what_is_missing_comes_with_the_line_that_mends_it(tmp_path):
    file = tmp_path / "config.yaml"
    attributes = ROOT / "config" / "attributes.yaml"
    file.write_text(f"attributes: {attributes}\nembeddings:\n  model: local-dir:{tmp_path}/nothing\n")
    found = {name: (well, text) for name, well, text in examine(file)}
    assert not found["CLIP"][0]
    assert "open_clip_config.json" in found["CLIP"][1]
    assert not found["pictures"][0]


def test_a_broken_configuration_ends_the_look_with_its_error(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text(f"attributes: {ROOT}/config/attributes.yaml\nseeed: 1\n")
    *_, last = examine(file)
    assert last[:2] == ("configuration", False)
    assert "seed" in last[2]


@pytest.fixture
def hub(tmp_path):
    """An environment in which a local server stands for the Hugging Face hub, and the paths that were requested."""
    asked = []

    class Hub(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

        def do_HEAD(self):
            self.do_GET()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    home = {"HF_HOME": str(tmp_path / "hub"), "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}"}
    environment = {k: v for k, v in os.environ.items() if not k.startswith("HF_")} | home
    yield environment, asked
    server.shutdown()
    server.server_close()


def run(*arguments, code=MAIN, env=None):
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, env=env)


@pytest.mark.slow
def test_a_look_fetches_nothing(hub, tmp_path):
    environment, asked = hub
    file = tmp_path / "config.yaml"
    classifier = "{model: org/age, labels: {a: elderly}}"
    text = f"attributes: {ROOT}/config/attributes.yaml\nclassifiers: {{age: {classifier}}}\n"
    file.write_text(text)
    out = run("doctor", "--config", file, env=environment)
    assert out.returncode == 5
    assert asked == []
    for model in ("ViT-B-32-quickgelu/openai", "facebook/bart-large-mnli", "org/age"):
        assert f"the model '{model}' is not on this machine: looked in {tmp_path / 'hub'}" in out.stdout
    assert "hf download facebook/bart-large-mnli" in out.stdout
    draw_faces(tmp_path / "data/raw", n_faces=1)
    out = run("status", "--config", file, env=environment)
    assert out.returncode == 0, out.stderr
    assert asked == []
    assert re.search(
        r"^embeddings +0 +0 +missing +run notebooks/02_embeddings.ipynb", out.stdout, re.MULTILINE
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "config", "name", "said"),
    [
        ("torch", "demo", "device", "pip install torch"),
        ("open_clip", "default", "CLIP", "pip install open_clip_torch"),
        ("cv2", "demo", "models", "pip install opencv-contrib-python"),
    ],
)
def test_a_package_that_is_missing_is_a_line_and_no_trace(module, config, name, said):
    code = f"import sys; sys.modules[{module!r}] = None; {MAIN}"
    out = run("doctor", "--config", f"config/{config}.yaml", code=code)
    assert out.returncode == 5
    assert out.stderr == ""
    (line,) = [line for line in out.stdout.splitlines() if line.startswith(f"BAD  {name} ")]
    assert line.endswith(said)
    assert "disk" in out.stdout, "the rest is looked at all the same"


@pytest.mark.slow
def test_a_missing_library_names_what_brings_it(tmp_path):
    reason = "libGL.so.1: cannot open shared object file: No such file or directory"
    (tmp_path / "cv2.py").write_text(f"raise ImportError({reason!r})")
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    out = run("doctor", "--config", "config/demo.yaml", env={**os.environ, "PYTHONPATH": path})
    assert out.returncode == 5
    assert "apt-get install libgl1 libglib2.0-0" in out.stdout
    assert "Traceback" not in out.stderr
