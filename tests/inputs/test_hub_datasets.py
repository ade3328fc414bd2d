"""Data sets come from a small hub on the loopback address."""

import json
import subprocess
import sys

import pytest

import facestats as fs
from facestats.inputs import CaptionError
from tests.small_hub import SmallHub

CLIENT = """
import json, sys
import facestats as fs
from facestats.surfaces.cli.extract import list_inputs

for revision in json.loads(sys.argv[1]):
    try:
        texts = fs.list_captions("org/texts", revision=revision)["text"].to_list()
        inputs = list_inputs(dataset="org/texts", revision=revision)
        print(json.dumps([texts, [item.text for item in inputs.items], inputs.source]))
    except fs.inputs.CaptionError as error:
        print(json.dumps(str(error)))
"""


@pytest.mark.slow
def test_a_data_set_is_read_at_the_revision_that_is_asked_for(tmp_path):
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "captions.csv").write_text(f"image_id,text\n1,{name} text\n")
    with SmallHub({"org/texts": {"v1": tmp_path / "old", "main": tmp_path / "new"}}) as hub:
        commit = hub.find("org/texts", "v1")[0]
        command = [sys.executable, "-c", CLIENT, json.dumps([None, "v1", commit, "v9"])]
        env = hub.environment(tmp_path / "home")
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=env, timeout=300)
    assert done.returncode == 0, done.stderr
    *read, said = [json.loads(line) for line in done.stdout.splitlines()]
    assert read == [
        [["new text"], ["new text"], "data set org/texts, first split"],
        *(
            [["old text"], ["old text"], f"data set org/texts@{revision}, first split"]
            for revision in ("v1", commit)
        ),
    ]
    assert "'org/texts@v9' cannot be opened: " in said
    assert "a revision that it has there" in said


def test_a_folder_or_file_has_no_revision(tmp_path):
    file = tmp_path / "captions.csv"
    file.write_text("image_id,text\n1,a man\n")
    for source in (tmp_path, file):
        with pytest.raises(CaptionError, match=r"leave the revision 'v1' of .* out"):
            fs.list_captions(source, revision="v1")
        with pytest.raises(CaptionError, match="have revisions"):
            fs.read_dataset(str(source), revision="v1")
