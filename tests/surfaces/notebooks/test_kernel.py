"""The notebooks run in the Python that runs facestats, whatever kernels Jupyter knows."""

import json
import sys

import pytest

pytest.importorskip("ipykernel", reason="the notebooks are an extra: pip install 'facestats[notebooks]'")

from facestats.surfaces.notebooks.run import START_TIMEOUT, _open_kernel


def test_a_kernel_of_another_python_with_the_same_name_is_not_started(tmp_path, monkeypatch):
    folder = tmp_path / "jupyter" / "kernels" / "python3"
    folder.mkdir(parents=True)
    code = f"import pathlib; pathlib.Path({str(tmp_path / 'marker')!r}).touch()"
    spec = {"argv": [sys.executable, "-c", code], "display_name": "Python 3", "language": "python"}
    (folder / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    said = []
    with _open_kernel(tmp_path, {}, warm="import sys") as kernel:
        kernel.client.wait_for_ready(timeout=START_TIMEOUT)
        kernel.client.execute_interactive("print(sys.executable)", output_hook=said.append)
    assert [m["content"]["text"] for m in said if m["msg_type"] == "stream"] == [f"{sys.executable}\n"]
    assert not (tmp_path / "marker").exists()
