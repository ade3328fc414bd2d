"""Members and settings of a composite: its row of table `composites`, and the same facts inside its PNG."""

from __future__ import annotations

import hashlib
import io
import itertools
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
ROW: dict[str, pl.DataType | type[pl.DataType]] = {
    "composite": pl.String,
    "method": pl.String,
    "n": pl.Int32,
    "members": pl.List(pl.String),
    "weights": pl.List(pl.Float64),
    "where": pl.String,
    "settings": pl.String,
}
MAX_LISTED = 500_000  # characters of member names in a PNG: Pillow refuses to read a text of more than 1 MB


class PictureWithMembers:
    """Base of pictures made of faces: they list their members, as a row of table `composites` and inside their PNG."""

    method: str
    members: tuple[str, ...]
    settings: dict[str, Any]

    if TYPE_CHECKING:  # a dataclass would take such a property as the default value of its field

        @property
        def weights(self) -> tuple[float, ...]:
            """Weight of each member."""

        @property
        def image(self) -> Image.Image:
            """The picture."""

    @property
    def n(self) -> int:
        """Number of faces."""
        return len(self.members)

    def to_frame(self, name: str) -> pl.DataFrame:
        """Describe the picture as a row of table `composites`.

        Parameters
        ----------
        name
            Key of the row.

        Returns
        -------
        One row: `composite`, `method`, `n` (Int32), `members` and `weights` (lists), `where` and `settings` (JSON).
        """
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
        """Write a PNG that contains members, weights and settings (text chunk `facestats`, JSON).

        If the names of the members have half a million characters or more, their SHA-256 is written instead; table
        `composites` lists them.

        Parameters
        ----------
        path
            File that ends in ``.png``; its folder is made if it is missing.

        Returns
        -------
        The path.

        Raises
        ------
        ValueError
            If the path does not end in ``.png``.
        """
        target = Path(path)
        if target.suffix.lower() != ".png":
            msg = f"{target} must end in .png: other formats cannot hold the list of members"
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
        Results of :func:`facestats.average_faces`, :func:`facestats.composites.difference` or
        :func:`facestats.composites.eigenfaces` by name. The name is the key of the table.

    Returns
    -------
    One row per result: `composite` (String, the name), `method` (String), `n` (Int32), `members` (List of String),
    `weights` (List of Float64; negative for the second group of a difference), `where` (String, the filter) and
    `settings` (String, JSON). No rows if there are no results.

    Examples
    --------
    >>> import facestats as fs
    >>> project = fs.testing.example_project()
    >>> average = fs.average_faces(project.faces, project.crops_dir)
    >>> fs.composites.tabulate({"everybody": average}).select("composite", "method", "n").rows()
    [('everybody', 'mean', 12)]
    """
    return pl.concat([pl.DataFrame(schema=ROW), *(r.to_frame(name) for name, r in results.items())])


def save(results: Mapping[str, PictureWithMembers], folder: str | os.PathLike[str]) -> pl.DataFrame:
    """Save composites as PNG files that are named by group, method and number of faces.

    Composites that an earlier call left in the folder and that are not among `results` are removed; other files stay.

    Parameters
    ----------
    results
        Results by name, as for :func:`tabulate`.
    folder
        Folder of the files; it is made if it is missing.

    Returns
    -------
    `composite` (String, the name) and `file` (String, such as ``gender_female_warp_n34.png``), a row per result.

    Examples
    --------
    >>> import tempfile
    >>> import facestats as fs
    >>> project = fs.testing.example_project()
    >>> average = fs.average_faces(project.faces, project.crops_dir)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     files = fs.composites.save({"true_age 30/40, Köln": average}, folder)
    >>> files.rows()
    [('true_age 30/40, Köln', 'true_age_30_40_Köln_mean_n12.png')]
    """
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    files: dict[str, str] = {}
    for name, result in results.items():
        parts = dict.fromkeys([name, result.method])  # some results are named after their method
        stem = _as_file_name(f"{'_'.join(parts)}_n{len(result.members)}")
        taken = {file.casefold() for file in files.values()}
        numbered = (f"{stem}{f'_{i}' if i > 1 else ''}.png" for i in itertools.count(1))
        files[name] = next(file for file in numbered if file.casefold() not in taken)
        result.save(target / files[name])
    for path in target.glob("*.png"):
        if path.name not in files.values() and _is_ours(path):
            path.unlink()
    rows = {"composite": list(files), "file": list(files.values())}
    return pl.DataFrame(rows, schema={"composite": pl.String, "file": pl.String})


def _as_file_name(text: str) -> str:
    """Keep letters of all alphabets, digits and points between them; at most 150 bytes, which every disk allows."""
    kept = "".join(c if c.isalnum() else "_" for c in text)
    words = [word for word in kept.split("_") if word]
    return "_".join(words).encode()[:150].decode(errors="ignore")


def _is_ours(path: Path) -> bool:
    try:
        read(path)
    except (ValueError, OSError):
        return False
    return True


def read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read from a saved picture how it was made.

    Parameters
    ----------
    path
        PNG written by the method `save` of a composite, a difference or eigenfaces.

    Returns
    -------
    A dictionary: `method`, `n`, `settings`, `members` and `weights`, or `members_sha256` instead of the last two if
    there were too many members.

    Raises
    ------
    ValueError
        If the picture was not written by such a method `save`.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import facestats as fs
    >>> project = fs.testing.example_project()
    >>> average = fs.average_faces(project.faces, project.crops_dir)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     facts = fs.composites.read(average.save(Path(folder) / "everybody.png"))
    >>> facts["method"], facts["n"], facts["members"][0]
    ('mean', 12, 'face_000.png')
    """
    from PIL import Image

    with Image.open(path, formats=["PNG"]) as image:
        text = image.info.get(PNG_KEY)
    if text is None:
        msg = f"{path} does not say how it was made. Give a PNG written by the method save of a composite."
        raise ValueError(msg)
    return json.loads(text)
