"""Models leave the process as they found it, but for what the docstrings say; each runs in a process of its own."""

import json
import logging
import os
import subprocess
import sys

import pytest

from facestats.models.runtime import BatchThreads, undo_side_effects

torch = pytest.importorskip("torch")

# Each snippet imports the libraries first, whose own imports change the process, and prints what our code changed.
PROBE = """
import json, logging, os, sys, warnings
import numpy as np
from facestats.core.config import PACKAGE

def state():
    found = {
        "environment": dict(os.environ),
        "handlers": [repr(h) for h in logging.root.handlers],
        "level": logging.root.level,
        "hooks": [repr(sys.excepthook), repr(warnings.showwarning)],
        "numpy": [repr(np.random.get_state()), repr(np.geterr())],
    }
    if "torch" in sys.modules:
        import torch
        found["torch"] = [torch.get_num_threads(), torch.is_grad_enabled(), str(torch.get_default_dtype()),
                          torch.get_rng_state().tolist()]
    if "cv2" in sys.modules:
        import cv2
        found["cv2"] = cv2.getNumThreads()
    if "transformers" in sys.modules:
        from huggingface_hub.utils import are_progress_bars_disabled
        from transformers.utils import logging as bars
        found["bars"] = [bars.is_progress_bar_enabled(), are_progress_bars_disabled(), bars.get_verbosity()]
    return found

IMPORTS
before = state()
import facestats as fs
from facestats.core.config import EmbeddingsSettings, FacesSettings, TextLabelsSettings
USE
after = state()
changed = {k for k in after if k != "environment" and after[k] != before.get(k)}
names = {k for k, v in after["environment"].items() if before["environment"].get(k) != v}
print(json.dumps(sorted(changed | names)))
"""
CACHES = ["LRU_CACHE_CAPACITY", "ONEDNN_PRIMITIVE_CACHE_CAPACITY"]
NLI = (
    "from transformers import AutoModelForSequenceClassification, AutoTokenizer, BartForSequenceClassification\n"
    "from transformers import PreTrainedTokenizerFast\n"
)
CASES = {
    "import": ("import cv2", "fs.models.clip", []),
    "clip": (
        "import cv2, open_clip",
        "fs.models.clip(EmbeddingsSettings(model=f'local-dir:{PACKAGE}/demo/clip', device='cpu')).dim",
        CACHES,
    ),
    "bart": (
        f"import cv2, torch\n{NLI}",
        "fs.models.bart(TextLabelsSettings(model=f'{PACKAGE}/demo/bart', device='cpu')).score(['a'], ['b'])",
        CACHES,
    ),
    "landmarker": (
        "import cv2, ai_edge_litert.interpreter",
        "fs.models.landmarker(FacesSettings()).find(np.zeros((64, 64, 3), np.uint8))",
        [],
    ),
    "mlp": (
        "import cv2, torch, sklearn.model_selection, sklearn.linear_model",
        "fs.models.mlp(epochs=5).fit(np.eye(8), np.arange(8.0), groups=np.arange(8), seed=0)",
        [],
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_model_changes_what_its_docstring_says_and_nothing_else(name):
    imports, use, expected = CASES[name]
    code = PROBE.replace("IMPORTS", imports).replace("USE", use)
    clean = {k: v for k, v in os.environ.items() if k not in CACHES}  # other tests may have loaded a model
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=clean
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert [
        n for n in found if n != "TORCHINDUCTOR_CACHE_DIR"
    ] == expected  # set by torch itself, when it compiles


def test_loading_keeps_random_numbers_and_the_handlers_of_the_root_logger():
    torch.manual_seed(0)
    first = torch.rand(1)
    torch.manual_seed(0)
    handler = logging.NullHandler()
    before = list(logging.root.handlers)
    with undo_side_effects():
        torch.rand(5)
        logging.root.addHandler(handler)
    assert logging.root.handlers == before
    assert torch.rand(1) == first


@pytest.mark.parametrize("value", ["1024", None])
def test_a_cache_size_of_the_user_is_kept(value, monkeypatch):
    for name in CACHES:
        monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name, raising=False)
    threads = torch.get_num_threads()
    BatchThreads("cpu")
    assert torch.get_num_threads() == threads
    assert [os.environ[name] for name in CACHES] == [value or "32"] * 2
