from __future__ import annotations

import json
import pickle
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from facestats.core.config import EmbeddingsSettings
from facestats.core.protocols import ModelError
from facestats.models import runtime
from facestats.models.class_token import skip_unread_tokens
from facestats.models.clip import clip
from facestats.models.clip_preprocess import Preprocess

open_clip = pytest.importorskip("open_clip")
torch = pytest.importorskip("torch")

TINY = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "head_width": 32, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2},
}


def save_clip(folder, *, seed=0, config=TINY, preprocess=None):
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    model = open_clip.model.CLIP(**config)
    save_file(
        {k: v.contiguous() for k, v in model.state_dict().items()}, folder / "open_clip_model.safetensors"
    )
    text = json.dumps({"model_cfg": config, "preprocess_cfg": preprocess or {}})
    (folder / "open_clip_config.json").write_text(text)
    return folder


def handle(folder, **options):
    options = {"precision": "fp32", "device": "cpu", **options}
    return clip(EmbeddingsSettings(model=f"local-dir:{folder}", **options))


def noise(n, size=32, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, size, size, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def encoder(folder):
    return handle(folder)


@settings(max_examples=60, deadline=None)
@given(
    size=st.tuples(st.integers(16, 300), st.integers(16, 300)),
    target=st.sampled_from([(32, 32), (33, 33), (48, 32), (32, 47)]),
    mode=st.sampled_from(["shortest", "longest", "squash"]),
    kernel=st.sampled_from(["bicubic", "bilinear"]),
    fill=st.sampled_from([0, 127]),
)
def test_prepare_is_open_clips_own_transform_bit_for_bit(*, size, target, mode, kernel, fill):
    from open_clip.transform import PreprocessCfg, image_transform_v2

    image = Image.fromarray(np.random.default_rng(sum(size)).integers(0, 256, (*size, 3), dtype=np.uint8))
    square = target[0] == target[1]
    cfg = PreprocessCfg(
        size=target[0] if square else target, interpolation=kernel, resize_mode=mode, fill_color=fill
    )
    steps = [t for t in image_transform_v2(cfg, is_train=False).transforms if type(t).__name__ != "Normalize"]
    theirs = image
    for step in steps:
        theirs = step(theirs)
    theirs = (theirs * 255).round().byte().permute(1, 2, 0).numpy()
    ours = Preprocess(target, interpolation=kernel, resize_mode=mode, fill=fill).apply(image)
    assert ours.dtype == np.uint8
    assert np.array_equal(ours, theirs)


def test_the_preprocessing_of_a_folder_is_what_open_clip_reads_from_it(tmp_path):
    wanted = {
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.4, 0.3],
        "interpolation": "bilinear",
        "resize_mode": "squash",
    }
    folder = save_clip(tmp_path / "m", preprocess=wanted)
    theirs = open_clip.create_model(f"local-dir:{folder}").visual.preprocess_cfg
    ours = handle(folder)._find().preprocess
    assert ours.size == tuple(theirs["size"])
    assert (ours.interpolation, ours.resize_mode) == (theirs["interpolation"], theirs["resize_mode"])
    assert (list(ours.mean), list(ours.std)) == (list(theirs["mean"]), list(theirs["std"]))


def test_vectors_are_those_of_open_clip(folder, encoder):
    model, transform = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
    model.eval()
    images = [Image.fromarray(p) for p in noise(5, size=50)]
    with torch.no_grad():
        theirs = model.encode_image(torch.stack([transform(i) for i in images]), normalize=True).numpy()
        tokens = open_clip.get_tokenizer(f"local-dir:{folder}")(["a man", "a woman"])
        texts = model.encode_text(tokens, normalize=True).numpy()
    ours = encoder.encode_images(np.stack([encoder.prepare(i) for i in images]))
    assert np.abs(ours - theirs).max() < 1e-5
    assert np.abs(encoder.encode_texts(["a man", "a woman"]) - texts).max() < 1e-5
    assert encoder.logit_scale == pytest.approx(model.logit_scale.exp().item())
    assert encoder.dim == 32


def test_the_shortcut_applies_to_plain_transformers_alone():
    plain = open_clip.model.CLIP(**TINY).visual
    pooled = open_clip.model.CLIP(**{**TINY, "vision_cfg": {**TINY["vision_cfg"], "pool_type": "avg"}}).visual
    assert skip_unread_tokens(plain)
    assert not skip_unread_tokens(pooled)
    assert not skip_unread_tokens(torch.nn.Identity())


def test_vectors_are_float32_of_length_one(encoder):
    encoder.encode_texts(["a", "b", "c"])[:] = 0  # what is remembered stays as it is
    for vectors in (encoder.encode_images(noise(3)), encoder.encode_texts(["a", "b", "c"])):
        assert vectors.dtype == np.float32
        assert vectors.shape == (3, 32)
        assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-6)


def test_the_size_of_the_batch_hardly_matters(encoder):
    # stated tolerance: 1e-5 per component in fp32
    pixels = noise(32)
    whole = encoder.encode_images(pixels)
    for size in (1, 8):
        parts = [encoder.encode_images(pixels[i : i + size]) for i in range(0, 32, size)]
        assert np.abs(np.concatenate(parts) - whole).max() <= 1e-5


def test_equal_batches_give_equal_bits(encoder):
    assert np.array_equal(encoder.encode_images(noise(9)), encoder.encode_images(noise(9)))


def test_bf16_stays_close_to_fp32(folder, encoder):
    # stated tolerance: cosine of at least 0.995 between the two
    pixels = noise(32)
    half = handle(folder, precision="bf16")
    assert (encoder.encode_images(pixels) * half.encode_images(pixels)).sum(axis=1).min() >= 0.995
    texts = ["a man", "a photo of a woman with long hair"]
    assert (encoder.encode_texts(texts) * half.encode_texts(texts)).sum(axis=1).min() >= 0.995


@pytest.mark.slow
def test_bf16_stays_close_to_fp32_in_a_real_architecture(tmp_path):
    # stated tolerance: cosine of at least 0.999; a random ViT-B/32 gave 0.99994
    real = open_clip.get_model_config("ViT-B-32")
    folder = save_clip(tmp_path, config={**real, "text_cfg": {**real["text_cfg"], "layers": 1}})
    pixels = noise(2, size=224)
    exact, half = (handle(folder, precision=p).encode_images(pixels) for p in ("fp32", "bf16"))
    assert (exact * half).sum(axis=1).min() >= 0.999


def test_the_name_tells_weights_and_precision_apart(folder, tmp_path):
    same = save_clip(tmp_path / "same", seed=0)
    other = save_clip(tmp_path / "other", seed=1)
    revision = [handle(f).name.split("@")[1] for f in (folder, same, other)]
    assert revision[0] == revision[1] != revision[2]
    assert handle(folder).name == handle(folder).name
    assert str(folder.parent) not in handle(folder).name
    assert handle(folder, precision="bf16").name != handle(folder).name


def test_the_name_changes_when_the_weights_are_replaced(tmp_path):
    before = handle(save_clip(tmp_path, seed=0)).name
    assert handle(save_clip(tmp_path, seed=1)).name != before


def test_the_repr_is_short_and_loads_nothing(folder):
    one = handle(folder, device="auto")
    assert repr(one) == f"Clip(model='local-dir:{folder}', device='auto', loaded=False)"
    assert one._source is None
    used = handle(folder)
    assert used.dim == 32
    assert repr(used) == f"Clip(model='local-dir:{folder}', device='cpu', loaded=True)"


def test_a_handle_pickles_small_even_after_use(encoder):
    expected = encoder.encode_images(noise(2))
    data = pickle.dumps(encoder)
    assert len(data) < 2000
    assert np.array_equal(pickle.loads(data).encode_images(noise(2)), expected)


def test_preparing_needs_no_torch(folder, tmp_path):
    import subprocess

    file = tmp_path / "handle.pickle"
    file.write_bytes(pickle.dumps(handle(folder)))
    code = (
        "import pickle, sys, pathlib; from PIL import Image\n"
        f"h = pickle.loads(pathlib.Path({str(file)!r}).read_bytes())\n"
        "assert h.prepare(Image.new('RGB', (40, 60))).shape == (32, 32, 3)\n"
        "assert 'torch' not in sys.modules and 'open_clip' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("local-dir:/nowhere/at/all", ["/nowhere/at/all", "open_clip_config.json"]),
        ("ViT-B-33/openai", ["ViT-B-33/openai", "ViT-B-32"]),
        ("ViT-B-32-quickgelu/openay", ["openay", "openai"]),
        ("nonsense", ["nonsense", "model/pretrained"]),
    ],
)
def test_an_unknown_model_is_named_with_what_to_do(model, words):
    with pytest.raises(ModelError) as error:
        clip(EmbeddingsSettings(model=model)).prepare(Image.new("RGB", (9, 9)))
    assert all(word in str(error.value) for word in words)


@pytest.mark.parametrize("model", ["ViT-B-32-quickgelu/openai", "hf-hub:org/name"])
def test_offline_the_error_comes_at_once_and_helps(model, tmp_path, monkeypatch):
    import time

    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    start = time.perf_counter()
    with pytest.raises(ModelError, match="hf download") as error:
        _ = clip(EmbeddingsSettings(model=model)).name
    assert time.perf_counter() - start < 5
    assert model in str(error.value)
    assert str(tmp_path) in str(error.value)


def test_a_model_in_the_cache_of_the_hub_is_used_without_network(tmp_path, monkeypatch):
    from huggingface_hub import constants

    commit = "0123456789abcdef0123456789abcdef01234567"
    repo = tmp_path / "models--org--name"
    save_clip(repo / "snapshots" / commit)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(commit)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    found = clip(EmbeddingsSettings(model="hf-hub:org/name", precision="fp32"))
    assert found.name == "hf-hub:org/name@0123456789ab fp32"
    assert found.encode_images(noise(1)).shape == (1, 32)


def test_weights_that_are_not_finite_are_refused(tmp_path):
    from safetensors.torch import load_file, save_file

    folder = save_clip(tmp_path)
    tensors = load_file(folder / "open_clip_model.safetensors")
    tensors["visual.proj"][0, 0] = float("nan")
    save_file(tensors, folder / "open_clip_model.safetensors")
    with pytest.raises(ModelError, match=r"visual\.proj"):
        handle(folder).encode_images(noise(1))


@pytest.mark.parametrize("content", [b"version https://git-lfs.github.com/spec/v1\n", b"<html>", b""])
def test_broken_weights_are_an_error_that_names_the_folder(tmp_path, content):
    folder = save_clip(tmp_path)
    (folder / "open_clip_model.safetensors").write_bytes(content)
    with pytest.raises(ModelError, match=str(folder)):
        handle(folder).encode_images(noise(1))


def test_precision_follows_the_processor_and_says_why(monkeypatch):
    monkeypatch.setattr(runtime, "_cpu_flags", lambda: frozenset({"amx_bf16"}))
    assert runtime.pick_precision("auto", "cpu") == ("bf16", "bf16 on cpu: the processor has amx_bf16")
    monkeypatch.setattr(runtime, "_cpu_flags", frozenset)
    assert runtime.pick_precision("auto", "cpu")[0] == "fp32"
    assert runtime.pick_precision("auto", "mps")[0] == "fp32"
    assert runtime.pick_precision("fp16", "cpu")[0] == "fp16"
