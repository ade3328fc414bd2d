"""Small inputs of strangers that would take much memory or time, lead elsewhere, or tell a password."""

import io
import json
import struct
import zipfile
import zlib

import pytest
from PIL import Image

import facestats as fs
from facestats.core.config import ConfigError, load_config
from facestats.core.protocols import ModelError
from facestats.core.shown_text import for_markdown
from facestats.inputs.textfiles import CaptionError, read_table
from facestats.models.network_files import FACEMESH, read_networks
from facestats.models.package_index import _with_login, without_password
from facestats.models.pretrained import find_pretrained
from facestats.models.safe_loading import check_configs
from facestats.pictures.decode import decode_picture
from facestats.pictures.png import drop_large_texts
from facestats.testing import FakeEncoder


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def test_a_png_of_many_bombs_is_inflated_up_to_a_limit(monkeypatch):
    file = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(file, "PNG")
    data = file.getvalue()
    bomb = chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(16_000_000)))
    inflated = []
    real = zlib.decompressobj

    class Counting:
        def __init__(self):
            self.made = real()

        def decompress(self, content, limit):
            inflated.append(len(found := self.made.decompress(content, limit)))
            return found

    monkeypatch.setattr("facestats.pictures.png.zlib.decompressobj", Counting)
    smaller, _ = drop_large_texts(data[:33] + bomb * 40 + data[33:])
    assert sum(inflated) < 40_000_000
    assert len(smaller) < 20_000
    monkeypatch.undo()
    decode_picture(smaller)


@pytest.mark.parametrize("suffix", [".jsonl", ".json"])
def test_objects_with_a_name_each_are_no_table(tmp_path, suffix):
    rows = [{f"k{i}": "x"} for i in range(3000)]
    text = "\n".join(map(json.dumps, rows)) if suffix == ".jsonl" else json.dumps(rows)
    (tmp_path / f"a{suffix}").write_text(text)
    with pytest.raises(CaptionError, match="3,000 rows have 3,000 different names, such as 'k0'"):
        read_table(tmp_path / f"a{suffix}")


def test_aliases_of_yaml_do_not_swell_the_message(tmp_path):
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]" for a, b in zip("abcdefg", "bcdefgh", strict=True)]
    file = tmp_path / "c.yaml"
    file.write_text("\n".join([*lines, "seed: *h"]))
    with pytest.raises(ConfigError) as error:
        load_config(file)
    assert len(str(error.value)) < 10_000


def test_weights_outside_of_the_folder_are_refused(tmp_path):
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (tmp_path / name).write_text("{}")
    index = {"weight_map": {"a": "../elsewhere/w.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError, match="does not lie beside it"):
        find_pretrained(str(tmp_path), needed=["config.json"])


def test_the_login_of_an_index_is_given_to_its_own_files_alone():
    page = "http://user:secret@a.example/simple/mediapipe/"
    assert _with_login("http://a.example/w.whl", page) == "http://user:secret@a.example/w.whl"
    for other in ("http://b.example//a.example/w.whl", "https://a.example/w.whl", "http://a.example.b/w.whl"):
        assert _with_login(other, page) == other


@pytest.mark.parametrize("password", ["secret", "S3cr@tPart", "p@ss/word", "12/ecret"])
def test_no_part_of_a_password_is_told(password):
    assert without_password(f"https://user:{password}@a.example/simple") == "https://a.example/simple"


def test_a_wheel_with_a_huge_member_is_a_sentence(tmp_path):
    wheel = tmp_path / "w.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as file:
        for name in FACEMESH.files.values():
            file.writestr(f"mediapipe/{name}", bytes(60_000_000))
    with pytest.raises(ModelError, match="is larger than any network"):
        read_networks(FACEMESH, wheel)


def test_a_picture_of_markdown_stays_a_text():
    assert "![" not in for_markdown("raw ![a](http://evil.example/p.png) ![x][b]")


class WithoutTorch(FakeEncoder):
    """An encoder whose package is missing."""

    def encode_images(self, images):
        msg = "No module named 'torch'"
        raise ModuleNotFoundError(msg, name="torch")


def test_a_missing_package_is_no_fault_of_a_picture():
    project = fs.testing.example_project()
    config = fs.load_config(demo=True).model_copy(update={"attributes": project.attributes})
    models = {"landmarker": project.landmarker, "classifier": project.classifier, "encoder": WithoutTorch()}
    pipeline = fs.CharacterPipeline(config, use_cache=False, **models)
    with pytest.raises(ImportError, match="torch"):
        pipeline.process_image(next(iter(project.raw_dir.glob("*.png"))))


def test_doctor_looks_at_opencv():
    from facestats.surfaces.cli.doctor import _opencv

    name, is_fine, found = _opencv()
    assert (name, is_fine) == ("opencv-contrib-python", True), found
    assert found[0].isdigit()


def test_a_local_clip_folder_leads_to_no_other_model(tmp_path):
    parts = {"embed_dim": 8, "vision_cfg": {}, "text_cfg": {"hf_model_name": "attacker/name"}}
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": parts}))
    with pytest.raises(ModelError, match="hf_model_name leads to another model"):
        check_configs(tmp_path, f"local-dir:{tmp_path}")
    check_configs(tmp_path, "hf-hub:attacker/name")
