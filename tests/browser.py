"""JupyterLab in a headless Chromium, for tests of what a notebook shows: `from tests.browser import lab, needs_browser`."""

from __future__ import annotations

import contextlib
import io
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import nbformat
import numpy as np
import pytest
from PIL import Image

TOKEN = "facestats-test"
# the processor draws WebGL, so that no graphics card is needed
FLAGS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"]
PATIENCE = 60_000  # milliseconds


def why_no_browser() -> str:
    """Say what is missing for tests in a browser; empty if nothing is missing."""
    if find_spec("playwright") is None:
        return "playwright is not installed: pip install 'facestats[browser]'"
    if chromium():
        return ""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        if Path(playwright.chromium.executable_path).exists():
            return ""
    return "no chromium: apt-get install chromium, or playwright install chromium"


def chromium():
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


_missing = why_no_browser()
needs_browser = pytest.mark.skipif(bool(_missing), reason=_missing or "a browser is there")


@dataclass
class Lab:
    """A running JupyterLab and the page that shows it."""

    page: object
    url: str
    folder: Path

    def open(self, *cells: str) -> None:
        """Write a notebook of these code cells and open it."""
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        notebook.metadata["kernelspec"] = {
            "name": "python3",
            "display_name": "Python 3",
            "language": "python",
        }
        nbformat.write(notebook, self.folder / "test.ipynb")
        self.page.goto(f"{self.url}/lab/tree/test.ipynb?reset&token={TOKEN}")
        self.cell(0).wait_for(timeout=PATIENCE)

    def cell(self, number: int):
        """Return the `number`-th code cell."""
        return self.page.locator(".jp-Notebook .jp-CodeCell").nth(number)

    def run(self, number: int) -> str:
        """Run the `number`-th cell, wait for its end, and return the text that it printed."""
        cell = self.cell(number)
        prompt = cell.locator(".jp-InputPrompt")
        deadline, pressed = time.monotonic() + PATIENCE / 1000, 0.0
        while not re.search(r"\d", shown := prompt.inner_text()):
            assert time.monotonic() < deadline, f"cell {number} does not end: {cell.inner_text()}"
            if "*" not in shown and time.monotonic() > pressed + 10:  # a page that is not ready ignores keys
                for button in self.page.locator(".jp-Dialog button.jp-mod-accept").all():
                    button.click()  # a dialog covers the cell; seen now and then on a busy machine
                cell.locator(".cm-content").click()
                self.page.keyboard.press("Control+Enter")
                pressed = time.monotonic()
            self.page.wait_for_timeout(100)
        self.page.wait_for_timeout(300)  # the number may be drawn before the output
        errors = cell.locator("[data-mime-type='application/vnd.jupyter.error']")
        assert errors.count() == 0, errors.first.inner_text()
        return "\n".join(cell.locator("[data-mime-type='application/vnd.jupyter.stdout']").all_inner_texts())

    def picture(self, target=None) -> np.ndarray:
        """Return the page, or one element of it, as pixels, (height, width, 3)."""
        shot = (target or self.page).screenshot()
        return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB"))


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A new JupyterLab in a new folder, open in a browser."""
    from playwright.sync_api import sync_playwright

    folder = tmp_path_factory.mktemp("lab")
    with _server(folder) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        yield Lab(page, url, folder)
        browser.close()


@contextlib.contextmanager
def _server(folder: Path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {
        "ServerApp.root_dir": folder,
        "ServerApp.port": port,
        "ServerApp.port_retries": 0,
        "IdentityProvider.token": TOKEN,
        "LabApp.check_for_updates_class": "jupyterlab.NeverCheckForUpdate",
        "LabApp.user_settings_dir": folder / "settings",
        "LabApp.workspaces_dir": folder / "workspaces",
    }
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += [f"--{name}={value}" for name, value in settings.items()]
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
        url = f"http://127.0.0.1:{port}"
        try:
            _wait_for(url, process, folder / "server.log")
            yield url
        finally:
            process.terminate()
            process.wait(30)


def _wait_for(url: str, process: subprocess.Popen, log: Path) -> None:
    for _ in range(300):
        assert process.poll() is None, log.read_text()
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"{url}/api?token={TOKEN}", timeout=5)
            return
        time.sleep(0.2)
    pytest.fail(f"JupyterLab does not answer: {log.read_text()[-2000:]}")
