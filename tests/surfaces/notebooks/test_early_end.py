"""A notebook without its optional input says so in one sentence, and the run goes on."""

import nbformat
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from traitlets.config import Config

from facestats.surfaces.notebooks.early_end import EarlyEnd, accept_early_end, stop_here

WHY = "No ratings: there is no ratings.csv beside the pictures."
STOP = f"from facestats.surfaces.notebooks.early_end import stop_here\nstop_here({WHY!r})"


def test_outside_of_a_notebook_the_sentence_is_printed_and_can_be_caught(capsys):
    with pytest.raises(EarlyEnd, match=r"^No ratings: there is no ratings.csv"):
        stop_here(WHY)
    assert capsys.readouterr().out == f"{WHY}\n"


def test_in_a_notebook_the_sentence_is_all_that_is_shown():
    shell = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
    try:
        with capture_output() as shown:
            result = shell.run_cell(STOP)
    finally:
        InteractiveShell.clear_instance()
    assert isinstance(result.error_in_exec, EarlyEnd), "Run All stops at a cell that does not succeed"
    assert [output.data["text/plain"] for output in shown.outputs] == [WHY]
    assert (shown.stdout, shown.stderr) == ("", "")


@pytest.mark.slow
def test_papermill_stops_there_and_the_copy_ends_with_the_sentence(tmp_path):
    from papermill import execute_notebook

    path, copy = tmp_path / "notebook.ipynb", tmp_path / "copy.ipynb"
    cells = [nbformat.v4.new_markdown_cell("# Ratings"), nbformat.v4.new_code_cell("print('begun')")]
    cells += [nbformat.v4.new_code_cell(STOP), nbformat.v4.new_markdown_cell("## Skill")]
    cells += [nbformat.v4.new_code_cell(f"open({str(tmp_path / 'later')!r}, 'w')")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    with accept_early_end(copy):
        execute_notebook(path, copy, kernel_name="python3", progress_bar=False)
    executed = nbformat.read(copy, as_version=4).cells
    assert [cell.source for cell in executed] == [cell.source for cell in cells[:3]]
    assert [output.output_type for output in executed[2].outputs] == ["display_data"]
    assert executed[2].outputs[0].data["text/plain"] == WHY
    assert not (tmp_path / "later").exists()


@pytest.mark.slow
def test_an_error_stays_an_error(tmp_path):
    from papermill import PapermillExecutionError, execute_notebook

    path, copy = tmp_path / "notebook.ipynb", tmp_path / "copy.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 / 0")]), path)
    with pytest.raises(PapermillExecutionError, match="ZeroDivisionError"), accept_early_end(copy):
        execute_notebook(path, copy, kernel_name="python3", progress_bar=False)
    assert "ZeroDivisionError" in copy.read_text()
