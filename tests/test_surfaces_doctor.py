from __future__ import annotations

from pathlib import Path

from facestats.surfaces.doctor import PACKAGES, examine

ROOT = Path(__file__).parents[1]


def test_the_demo_configuration_is_well_and_everything_is_looked_at():
    found = {name: (well, text) for name, well, text in examine(ROOT / "config" / "demo.yaml")}
    assert {*PACKAGES, "python", "device", "configuration", "CLIP", "text model", "landmarks", "disk"} <= set(
        found
    )
    assert found["CLIP"][0]
    assert found["text model"][0]
    assert found["configuration"][1].endswith("demo.yaml")


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
