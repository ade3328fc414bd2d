"""Models come from a small hub on the loopback address, which also breaks its connections."""

import json
import subprocess
import sys

import numpy as np
import pytest

from tests.models import test_bart, test_clip
from tests.small_hub import SmallHub

CHUNK = 10 * 1024 * 1024  # huggingface_hub keeps what it got of a broken file in whole chunks of this size
TEXTS = ["a man with red hair", "an old woman"]
CLIENT = f"""
import json, sys
import facestats as fs
from facestats.core.config import EmbeddingsSettings, TextLabelsSettings
from facestats.core.protocols import ModelError
from facestats.models import weights

weights.PAUSE_SECONDS = 0

def load(model, revision):
    settings = {{"model": model, "revision": revision, "precision": "fp32", "device": "cpu"}}
    if model.startswith("hf-hub:"):
        handle = fs.models.clip(EmbeddingsSettings(**settings))
        return handle.name, handle.encode_texts({TEXTS}).tolist()
    handle = fs.models.bart(TextLabelsSettings(**settings))
    return handle.name, handle.score({TEXTS}, {test_bart.HYPOTHESES}).tolist()

for wanted in json.loads(sys.argv[1]):
    try:
        print(json.dumps(load(*wanted)))
    except ModelError as error:
        print(json.dumps([None, str(error)]))
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    for seed, name in enumerate(["old", "new"]):
        test_clip.save_clip(root / "clip" / name, seed=seed)
        test_bart.save_bart(root / "bart" / name, seed=seed)
    return root


@pytest.fixture
def hub(folders):
    models = {"org/clip": folders / "clip", "org/bart": folders / "bart"}
    with SmallHub({k: {"v1": f / "old", "main": f / "new"} for k, f in models.items()}) as hub:
        yield hub


def load(hub, home, *wanted):
    """Return for each model and revision what a client gets: its name and vectors, or None and the error."""
    models = [(f"{'hf-hub:' * (kind == 'clip')}org/{kind}", revision) for kind, revision in wanted]
    command = [sys.executable, "-c", CLIENT, json.dumps(models)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=hub.environment(home), timeout=300
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def expected(folders, kind, name):
    """Return the vectors of a folder."""
    folder = folders / kind / name
    if kind == "clip":
        return test_clip.handle(folder).encode_texts(TEXTS)
    return test_bart.handle(folder).score(TEXTS, test_bart.HYPOTHESES)


@pytest.mark.parametrize("kind", ["clip", "bart"])
def test_a_broken_download_is_resumed_and_gives_the_vectors_of_the_folder(kind, hub, folders, tmp_path):
    weights = "open_clip_model.safetensors" if kind == "clip" else "model.safetensors"
    n_bytes = CHUNK + 1_000_000 if kind == "clip" else 10_000
    config = "open_clip_config.json" if kind == "clip" else "config.json"
    hub.breaks = {weights: [(n_bytes, False)], config: [(10, True)]}
    ((name, vectors), again) = load(hub, tmp_path, (kind, None), (kind, None))
    assert np.allclose(vectors, expected(folders, kind, "new"), rtol=0, atol=1e-6)
    assert f"org/{kind}@{hub.find(f'org/{kind}', 'main')[0][:12]} " in name
    assert again == [name, vectors]
    # once, but for the breaks
    assert hub.downloads(weights) == [None, f"bytes={CHUNK}-" if kind == "clip" else None]
    assert hub.downloads(config) == [None, None]


def test_a_hub_that_keeps_breaking_ends_in_a_sentence_and_the_next_try_goes_on(hub, folders, tmp_path):
    hub.breaks = {"model.safetensors": [(10_000, True)] * 3}
    (nothing, said), (_, logits) = load(hub, tmp_path, ("bart", None), ("bart", None))
    assert nothing is None
    assert "the model 'org/bart' is not on this machine and could not be downloaded: 3 tries failed" in said
    assert "Run the same command again" in said
    assert "hf download org/bart\n" in said
    assert hub.downloads("model.safetensors") == [None] * 4
    assert hub.downloads("config.json") == [None], "complete files are not downloaded twice"
    assert np.allclose(logits, expected(folders, "bart", "new"), rtol=0, atol=1e-5)


def test_a_pinned_revision_is_the_one_that_is_used(hub, folders, tmp_path):
    old, new = (hub.find("org/bart", revision)[0] for revision in ("v1", "main"))
    found = load(hub, tmp_path, *(("bart", revision) for revision in (None, "v1", old, new, None)))
    names, logits = zip(*found, strict=True)
    assert [name.split()[0] for name in names] == [f"org/bart@{c[:12]}" for c in (new, old, old, new, new)]
    assert logits[1] == logits[2] != logits[0] == logits[3] == logits[4]
    assert np.allclose(logits[1], expected(folders, "bart", "old"), rtol=0, atol=1e-5)


def test_what_the_hub_does_not_have_is_named_at_once_with_what_to_do(hub, tmp_path):
    found = load(hub, tmp_path, ("bart", "v9"), ("clip", "v9"), ("other", None))
    assert [name for name, _ in found] == [None] * 3
    for kind, (_, said) in zip(["bart", "clip"], found, strict=False):
        assert f"org/{kind}' at revision 'v9' cannot be had from http://127.0.0.1" in said
        assert "it has no such revision. Set `revision` to a commit, tag or branch that" in said
    assert "Correct the name" in found[2][1]
    assert "hf auth login" in found[2][1]
    assert len([path for _, path, _ in hub.requests if "models" in path]) == 3


def test_weights_in_several_files_are_downloaded_whole(folders, tmp_path):
    import transformers

    folder = tmp_path / "divided"
    model = transformers.BartForSequenceClassification.from_pretrained(folders / "bart" / "new")
    test_bart.save_tokenizer(folder, 64)
    model.save_pretrained(folder, max_shard_size="50KB")
    shards = sorted(file.name for file in folder.glob("*.safetensors"))
    assert len(shards) > 1
    with SmallHub({"org/bart": {"main": folder}}) as hub:
        hub.breaks = {shards[-1]: [(100, True)] * 3}
        (_, said), (_, logits) = load(hub, tmp_path, ("bart", None), ("bart", None))
        assert "3 tries failed" in said
        assert np.allclose(logits, expected(folders, "bart", "new"), rtol=0, atol=1e-5)
        assert hub.downloads(shards[0]) == [None]
