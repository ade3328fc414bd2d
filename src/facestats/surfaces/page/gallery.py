"""What the page shows of a run: its tables, filtered, searched and averaged; without widgets."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import polars as pl
from matplotlib.figure import Figure

import facestats as fs
from facestats.core.tables import KEY
from facestats.pictures.decode import PictureError, open_picture
from facestats.pictures.paths import picture_path

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from PIL import Image

    from facestats.core.config import Config
    from facestats.core.protocols import Encoder

MAX_SHOWN = 60  # number of faces on the page
SIDE = 320  # width and height of a face on the page, in pixels
MIN_FACES = 3  # for an average
MAX_FACES = 2_000  # an average of more would keep the other visitors waiting


@dataclass(frozen=True)
class Gallery:
    """A finished run: table master with clusters and layout, and the vectors.

    Parameters
    ----------
    master
        Rows with a crop, with `cluster`, `x` and `y`.
    embeddings
        Table of stage 02.
    crops_dir
        Folder of the crops.
    """

    master: pl.DataFrame = field(repr=False)
    embeddings: pl.DataFrame = field(repr=False)
    crops_dir: Path

    @classmethod
    def open(cls, config: Config) -> Gallery | None:
        """Read the tables of a run; None if there is no finished run."""
        store = fs.Store(config.data_dir)
        try:
            master = store.read("master").join(store.read("clusters"), on=KEY)
            embeddings = store.read("embeddings", columns=[KEY, "embedding"])
        except FileNotFoundError:
            return None
        return cls(master.drop_nulls("crop"), embeddings, store.crops_dir)

    def choose(self, conditions: Mapping[str, str | None]) -> pl.DataFrame:
        """Return the rows that meet all conditions; an attribute without a value does not filter."""
        wanted = [pl.col(name).cast(pl.String) == value for name, value in conditions.items() if value]
        return self.master.filter(*wanted) if wanted else self.master

    def find(
        self, conditions: Mapping[str, str | None], words: str, *, encoder: Encoder
    ) -> tuple[pl.DataFrame, str]:
        """Return the rows that meet all conditions, and a sentence about them; if there are words, the nearest rows come first."""
        rows = self.choose(conditions)
        found = f"**{rows.height:,}** of {self.master.height:,} faces"
        if words and rows.height:
            some = f"the {MAX_SHOWN} " if rows.height > MAX_SHOWN else ""
            ranked = self.search(rows, words, encoder=encoder, top=MAX_SHOWN)
            return ranked, f"{found}, {some}nearest to the text first"
        return rows, f"{found}, the first {MAX_SHOWN} are shown" if rows.height > MAX_SHOWN else found

    def draw_map(self, chosen: pl.DataFrame) -> Figure:
        """Draw all faces on the map; the chosen ones are coloured, by cluster if all are chosen."""
        figure = Figure(figsize=(6, 5), layout="constrained")  # pyplot would keep every figure in memory
        inside = pl.col(KEY).is_in(chosen[KEY].to_list())
        marked = self.master.with_columns(selection=pl.when(inside).then(pl.lit("selected")))
        color = "cluster" if chosen.height == self.master.height else "selection"
        fs.plots.face_map(marked, color, names={None: "others"}, ax=figure.subplots()).set_title(
            "", loc="left"
        )
        return figure

    def search(self, rows: pl.DataFrame, query: str, *, encoder: Encoder, top: int) -> pl.DataFrame:
        """Sort rows by the similarity of their faces to a text."""
        vector = encoder.encode_texts([query])[0]
        vectors = self.embeddings.join(rows, on=KEY, how="semi").drop_nulls("embedding")
        ranked = fs.search_faces(vectors, vector, top=top)
        return ranked.join(rows, on=KEY, how="left", maintain_order="left")

    def thumbnails(self, rows: pl.DataFrame, *, limit: int = MAX_SHOWN) -> list[tuple[Image.Image, str]]:
        """Open the crops of the first rows, with their names; crops that cannot be read are left out."""
        shown = []
        for name, crop in rows.select(KEY, "crop").head(limit).iter_rows():
            try:
                image = open_picture(picture_path(f"{self.crops_dir}/{crop}"), at_least=SIDE).image
            except PictureError:
                continue
            image.thumbnail((SIDE, SIDE))
            shown.append((image, name))
        return shown

    def average(self, rows: pl.DataFrame) -> Image.Image:
        """Make the warped average of the faces.

        Raises
        ------
        ValueError
            If there are too few or too many faces for an average on the page.
        """
        if not MIN_FACES <= rows.height <= MAX_FACES:
            fix = "remove a filter" if rows.height < MIN_FACES else "add a filter, or call fs.average_faces"
            msg = (
                f"An average here takes {MIN_FACES} to {MAX_FACES:,} faces, these are {rows.height:,}: {fix}."
            )
            raise ValueError(msg)
        return fs.average_faces(rows, self.crops_dir, method="warp", min_faces=MIN_FACES).image
