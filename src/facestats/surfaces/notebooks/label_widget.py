"""Label faces by hand in a notebook: a crop and one button per option; every answer is saved at once."""

from __future__ import annotations

import io
import string
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from facestats import human_labels
from facestats.core.shown_text import for_html
from facestats.core.tables import KEY, check_columns
from facestats.human_labels.answers_file import LabelError
from facestats.human_labels.labels import answered
from facestats.inputs.matching import letters
from facestats.pictures.decode import PictureError, open_picture
from facestats.surfaces.extras import require

require("notebooks", ("ipywidgets",), by="fs.label_by_hand")
import ipywidgets as widgets  # noqa: E402

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    import polars as pl

KEYS = "123456789" + string.ascii_lowercase
SKIP = "0"
SIDE = 320  # width and height of the picture on the screen, in pixels


def label_by_hand(
    faces: pl.DataFrame,
    crops_dir: str | os.PathLike[str],
    *,
    attribute: str,
    options: Sequence[str],
    labeller: str,
    file: str | os.PathLike[str],
) -> Labelling:
    """Show one face after the other, and ask for an option of `attribute`.

    Click, or type a key: 1, 2, ... answer, 0 skips, Backspace takes the last answer back. Each answer is saved before
    the next face is shown; if the kernel dies, the same call continues there. Labels of models are not shown.

    Parameters
    ----------
    faces
        Rows with `image_id` and `crop`, best from :func:`facestats.human_labels.sample`, whose `reason` is saved
        too. Faces without a crop, and those that `labeller` has answered before, are left out.
    crops_dir
        Folder of the crops.
    attribute, options
        The attribute to label, and its options, ``cfg.attributes[attribute].options``.
    labeller
        Name of the person who answers; if several people answer, the majority counts.
    file
        CSV file of the answers, ``cfg.labels_file``.

    Returns
    -------
    A widget; `n_done` and `n_left` count the answered and the remaining faces.

    Raises
    ------
    TableError
        If `image_id` or `crop` is missing.
    ValueError
        If there are too few or too many options, or `labeller` is empty.

    Examples
    --------
    >>> import facestats as fs
    >>> project = fs.testing.example_project()
    >>> options, file = list(project.attributes["age"].options), project.raw_dir / "labels.csv"
    >>> asked = {"attribute": "age", "options": options, "labeller": "anna", "file": file}
    >>> fs.label_by_hand(project.faces, project.crops_dir, **asked)
    Labelling('age', by 'anna': 0 done, 12 left)
    """
    check_columns(faces, KEY, "crop", made_by="fs.align_faces (notebooks/01_faces.ipynb)")
    if not 2 <= len(options) <= len(KEYS):
        msg = f"options must be 2 to {len(KEYS)} different answers, got {list(options)}"
        raise ValueError(msg)
    if not labeller.strip():
        msg = (
            "labeller must name the person who answers, so that the answers of several people can be told apart;"
            " got nothing"
        )
        raise ValueError(msg)
    done = {letters(name) for name in answered(file, attribute, labeller=labeller)}
    columns = [KEY, "crop", *(["reason"] if "reason" in faces.columns else [])]
    rows = faces.select(columns).drop_nulls("crop").unique(KEY, maintain_order=True).to_dicts()
    todo = [row for row in rows if letters(row[KEY]) not in done]
    return Labelling(
        todo, Path(crops_dir), attribute, options=tuple(options), labeller=labeller, file=Path(file)
    )


class Labelling(widgets.VBox):
    """The widget that :func:`label_by_hand` returns."""

    def __init__(
        self,
        rows: list[dict[str, Any]],
        crops_dir: Path,
        attribute: str,
        *,
        options: tuple[str, ...],
        labeller: str,
        file: Path,
    ) -> None:
        self._rows, self._crops_dir, self._attribute = rows, crops_dir, attribute
        self._options, self._labeller, self._file = options, labeller, file
        self._current = 0  # index of the row that is shown
        self._given: list[tuple[int, str | None]] = []  # row and option, in order; None: skipped
        self._typed, self._answered = "", list[bool]()  # the typed keys, and for each whether it answered
        self._picture = widgets.Image(format="jpeg", width=SIDE, height=SIDE)
        self._question, self._message = widgets.HTML(), widgets.HTML()
        wide = widgets.Layout(width="auto")
        self._buttons = [
            widgets.Button(description=f"{key} {option}", layout=wide)
            for key, option in zip(KEYS, options, strict=False)
        ]
        for button, option in zip(self._buttons, options, strict=True):
            button.on_click(lambda _, option=option: self.answer(option))
        self._skip = widgets.Button(description=f"{SKIP} skip", layout=wide)
        self._undo = widgets.Button(description="undo", layout=wide)
        self._skip.on_click(lambda _: self.answer(None))
        self._undo.on_click(lambda _: self.undo())
        # a text field: no key is lost when someone types fast, and Backspace shows as a shorter text
        self._keys = widgets.Text(
            placeholder=f"click here, then type {KEYS[0]} to {KEYS[len(options) - 1]}", continuous_update=True
        )
        self._keys.observe(self._type, names="value")
        answers = widgets.HBox(self._buttons, layout=widgets.Layout(flex_flow="row wrap"))
        others = widgets.HBox([self._skip, self._undo, self._keys])
        super().__init__([self._question, self._picture, answers, others, self._message])
        self._show()

    def __repr__(self) -> str:
        return (
            f"Labelling({self._attribute!r}, by {self._labeller!r}: {self.n_done} done, {self.n_left} left)"
        )

    @property
    def n_done(self) -> int:
        """Number of faces answered in this widget."""
        return sum(option is not None for _, option in self._given)

    @property
    def n_left(self) -> int:
        """Number of faces still to be shown."""
        return len(self._rows) - self._current

    def answer(self, option: str | None) -> None:
        """Give the shown face an option, or None to skip it, and show the next face."""
        if not self.n_left:
            return
        if option is not None and not self._save(self._current, option):
            return
        self._given.append((self._current, option))
        self._current += 1
        self._show()

    def undo(self) -> None:
        """Take the last answer back, and show its face again."""
        if not self._given:
            return
        number, option = self._given[-1]
        if option is not None and not self._save(number, None):
            return
        self._given.pop()
        self._current = number
        self._show()

    def _save(self, number: int, option: str | None) -> bool:
        """Save an answer; if that fails, show why and return False."""
        row = self._rows[number]
        try:
            human_labels.write(
                self._file,
                row[KEY],
                attribute=self._attribute,
                value=option,
                labeller=self._labeller,
                reason=row.get("reason"),
            )
        except LabelError as error:
            self._message.value = f"<b>{for_html(error)}</b>"
            return False
        return True

    def _type(self, change: dict[str, Any]) -> None:
        old, self._typed = self._typed, str(change["new"]).lower()
        if old.startswith(self._typed):
            for _ in range(len(old) - len(self._typed)):
                if self._answered.pop():
                    self.undo()
            return
        if not self._typed.startswith(old):  # the whole text was replaced
            old, self._answered = "", []
        for key in self._typed.removeprefix(old):
            number, before = KEYS.find(key), len(self._given)
            if key == SKIP:
                self.answer(None)
            elif 0 <= number < len(self._options):
                self.answer(self._options[number])
            self._answered.append(len(self._given) > before)

    def _show(self) -> None:
        """Show the next face whose crop can be read."""
        unreadable = ""
        while self.n_left:
            row = self._rows[self._current]
            try:
                image = open_picture(self._crops_dir / row["crop"]).image
                break
            except PictureError as error:
                unreadable = f"left out {row['crop']}: {error}"
                self._current += 1
        for button in (*self._buttons, self._skip):
            button.disabled = not self.n_left
        self._undo.disabled = not self._given
        self._message.value = for_html(unreadable or f"{self.n_done} answers saved in {self._file.name}")
        if not self.n_left:
            self._question.value = f"<b>{for_html(self._attribute)}</b>: no face is left to label"
            self._picture.layout.display = "none"
            return
        self._picture.layout.display = None
        self._question.value = f"<b>{for_html(self._attribute)}</b>: {self._current + 1} of {len(self._rows)}"
        shown = io.BytesIO()
        image.resize((SIDE, SIDE), Image.Resampling.LANCZOS).save(shown, "JPEG", quality=90)
        self._picture.value = shown.getvalue()
