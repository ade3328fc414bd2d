"""Pictures that know who is in them: their row of table `composites`, and the same inside the PNG."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from facestats.core.atomic_write import write_atomically
from facestats.core.tables import COMPOSITES, check_table

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from PIL import Image

PNG_KEY = "facestats"
ROW: dict[str, Any] = {
    "composite": pl.String,
    "method": pl.String,
    "n": pl.Int32,
    "members": pl.List(pl.String),
    "weights": pl.List(pl.Float64),
    "where": pl.String,
    "settings": pl.String,
}
MAX_LISTED = 500_000  # characters of member names in a PNG; Pillow refuses to read more than 1 MB


class PictureWithMembers:
    """A picture of faces that knows who is in it: a row of table `composites`, and a PNG that carries the same."""

    method: str
    members: tuple[str, ...]
    settings: dict[str, Any]

    if TYPE_CHECKING:  # a property here would be taken for the default of a field below

        @property
        def weights(self) -> tuple[float, ...]:
            """Weight of each member."""

        @property
        def image(self) -> Image.Image:
            """The picture."""

    @property
    def n(self) -> int:
        """Number of faces in it."""
        return len(self.members)

    def to_frame(self, name: str) -> pl.DataFrame:
        """Return its row in the `composites` table, under the key `name`."""
        row = {
            "composite": [name],
            "method": [self.method],
            "n": [self.n],
            "members": [list(self.members)],
            "weights": [list(self.weights)],
            "where": [self.settings.get("where")],
            "settings": [json.dumps(self.settings, ensure_ascii=False)],
        }
        return check_table(pl.DataFrame(row, schema=ROW), COMPOSITES)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write a PNG that carries members, weights and settings (text chunk `facestats`, JSON).

        Beyond half a million characters the names of the members are left to the `composites` table, and
        their SHA-256 is written instead.
        """
        target = Path(path)
        if target.suffix.lower() != ".png":
            msg = f"{target} must end in .png: other formats cannot carry the list of members"
            raise ValueError(msg)
        return write_atomically(target, self._repr_png_())

    def _repr_png_(self) -> bytes:
        from PIL.PngImagePlugin import PngInfo

        info = PngInfo()
        info.add_itxt(PNG_KEY, json.dumps(self._facts(), ensure_ascii=False), zip=True)
        buffer = io.BytesIO()
        self.image.save(buffer, format="PNG", pnginfo=info)
        return buffer.getvalue()

    def _facts(self) -> dict[str, Any]:
        facts = {"method": self.method, "n": self.n, "settings": self.settings}
        if sum(map(len, self.members)) < MAX_LISTED:
            return facts | {"members": self.members, "weights": self.weights}
        names = "\n".join(self.members).encode()
        return facts | {"members_sha256": hashlib.sha256(names).hexdigest()}


def tabulate(results: Mapping[str, PictureWithMembers]) -> pl.DataFrame:
    """List composites, differences and eigenfaces as the rows of table `composites`.

    Parameters
    ----------
    results
        Name of each, the key of the table, and what :func:`facestats.average_faces`,
        :func:`facestats.composites.difference` or :func:`facestats.composites.eigenfaces` gave.

    Returns
    -------
    One row per result: `composite` (its name), `method`, `n` (Int32), `members` and `weights` (lists; those of the
    second group of a difference are negative), `where` (the filter) and `settings` (JSON). No row for no result.
    """
    return pl.concat([pl.DataFrame(schema=ROW), *(r.to_frame(name) for name, r in results.items())])


def read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read how a saved composite was made: method, n, settings, members, weights.

    Raises
    ------
    ValueError
        If the picture was not written by the `save` of a composite, a difference or eigenfaces.
    """
    from PIL import Image

    with Image.open(path, formats=["PNG"]) as image:
        text = image.info.get(PNG_KEY)
    if text is None:
        msg = f"{path} does not say how it was made: it was not written by the save of a composite"
        raise ValueError(msg)
    return json.loads(text)
