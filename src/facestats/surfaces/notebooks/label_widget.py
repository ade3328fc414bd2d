"""Labels by hand in a notebook: the crop, a button per option, and every answer on the disk at once."""

from __future__ import annotations

import io
import string
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
from PIL import Image

from facestats import human_labels
from facestats.core.tables import KEY, check_columns
from facestats.human_labels.answers_file import LabelError
from facestats.human_labels.labels import answered
from facestats.pictures.decode import PictureError, open_picture

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    import polars as pl

KEYS = "123456789" + string.ascii_lowercase
SKIP = "0"
SIDE = 320  # pixels of the picture on the screen


def label_by_hand(
    faces: pl.DataFrame,
    crops_dir: str | os.PathLike[str],
    *,
    attribute: str,
    options: Sequence[str],
    labeller: str,
    file: str | os.PathLike[str],
) -> Labelling:
    """Show one face after the other and ask for an option of `attribute`.

    A key (1, 2, ...; 0 skips, Backspace takes back) or a click answers. Each answer is on the disk before the next
    face comes: after a killed kernel, the same call goes on where it stopped. Nothing of what models say is shown.

    Parameters
    ----------
    faces
        Rows with `image_id` and `crop`, best from :func:`facestats.human_labels.sample`, whose `reason` is kept.
        Those that `labeller` has answered before, and those without a crop, are left out.
    crops_dir
        Folder of the crops.
    attribute, options
        What is asked, and the answers to choose from: ``cfg.attributes[attribute].options``.
    labeller
        Who answers; of several people the majority counts.
    file
        CSV of the answers, ``cfg.labels_file``.

    Returns
    -------
    A widget; `n_done` and `n_left` tell how far it is.
    """
    check_columns(faces, KEY, "crop", made_by="fs.align_faces (notebooks/01_faces.ipynb)")
    if not 2 <= len(options) <= len(KEYS):
        msg = f"options must be 2 to {len(KEYS)} different answers, got {list(options)}"
        raise ValueError(msg)
    if not labeller.strip():
        msg = (
            "labeller must say who answers, so that answers of several people can be told apart; got nothing"
        )
        raise ValueError(msg)
    done = answered(file, attribute, labeller=labeller)
    columns = [KEY, "crop", *(["reason"] if "reason" in faces.columns else [])]
    rows = faces.select(columns).drop_nulls("crop").unique(KEY, maintain_order=True).to_dicts()
    todo = [row for row in rows if row[KEY] not in done]
    return Labelling(
        todo, Path(crops_dir), attribute, options=tuple(options), labeller=labeller, file=Path(file)
    )


class Labelling(widgets.VBox):
    """The widget of :func:`label_by_hand`."""

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
        self._place = 0
        self._said: list[tuple[int, str | None]] = []  # (row, option or None for skipped), in order
        self._typed, self._effects = "", list[bool]()  # per typed key, whether it answered
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
        # a field whose text grows: fast typing loses nothing, and Backspace is seen as a shorter text
        self._keys = widgets.Text(
            placeholder=f"click here, then type {KEYS[0]} to {KEYS[len(options) - 1]}", continuous_update=True
        )
        self._keys.observe(self._type, names="value")
        answers = widgets.HBox(self._buttons, layout=widgets.Layout(flex_flow="row wrap"))
        others = widgets.HBox([self._skip, self._undo, self._keys])
        super().__init__([self._question, self._picture, answers, others, self._message])
        self._show()

    @property
    def n_done(self) -> int:
        """Rows answered in this widget."""
        return sum(option is not None for _, option in self._said)

    @property
    def n_left(self) -> int:
        """Rows still to be shown."""
        return len(self._rows) - self._place

    def answer(self, option: str | None) -> None:
        """Give the face that is shown an option, or None to skip it, and go on to the next."""
        if not self.n_left:
            return
        if option is not None and not self._write(self._place, option):
            return
        self._said.append((self._place, option))
        self._place += 1
        self._show()

    def undo(self) -> None:
        """Take the last answer back, and show its face again."""
        if not self._said:
            return
        place, option = self._said[-1]
        if option is not None and not self._write(place, None):
            return
        self._said.pop()
        self._place = place
        self._show()

    def _write(self, place: int, option: str | None) -> bool:
        """Put an answer on the disk; where that fails, say so and stay."""
        row = self._rows[place]
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
            self._message.value = f"<b>{error}</b>"
            return False
        return True

    def _type(self, change: dict[str, Any]) -> None:
        old, self._typed = self._typed, str(change["new"]).lower()
        if old.startswith(self._typed):
            for _ in range(len(old) - len(self._typed)):
                if self._effects.pop():
                    self.undo()
            return
        if not self._typed.startswith(old):  # the whole text was replaced
            old, self._effects = "", []
        for key in self._typed.removeprefix(old):
            place, before = KEYS.find(key), len(self._said)
            if key == SKIP:
                self.answer(None)
            elif 0 <= place < len(self._options):
                self.answer(self._options[place])
            self._effects.append(len(self._said) > before)

    def _show(self) -> None:
        """Show the face whose turn it is, passing over crops that cannot be read."""
        unreadable = ""
        while self.n_left:
            row = self._rows[self._place]
            try:
                image = open_picture(self._crops_dir / row["crop"]).image
                break
            except PictureError as error:
                unreadable = f"passed over {row['crop']}: {error}"
                self._place += 1
        for button in (*self._buttons, self._skip):
            button.disabled = not self.n_left
        self._undo.disabled = not self._said
        self._message.value = unreadable or f"{self.n_done} answers saved in {self._file.name}"
        if not self.n_left:
            self._question.value = f"<b>{self._attribute}</b>: nothing left to ask"
            self._picture.layout.display = "none"
            return
        self._picture.layout.display = None
        self._question.value = f"<b>{self._attribute}</b>: {self._place + 1} of {len(self._rows)}"
        shown = io.BytesIO()
        image.resize((SIDE, SIDE), Image.Resampling.LANCZOS).save(shown, "JPEG", quality=90)
        self._picture.value = shown.getvalue()
