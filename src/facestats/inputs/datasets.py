"""Read data sets by explicit rules: folders of pictures, tars, tables, `save_to_disk`, and the Hugging Face hub."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from facestats.inputs.captions import list_captions
from facestats.inputs.dataset_sources import BATCH, read_source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import polars as pl

log = logging.getLogger(__name__)


def read_dataset(
    source: str,
    *,
    split: str | None = None,
    revision: str | None = None,
    text: str | None = None,
    image: str | None = None,
    n_rows: int | None = None,
    batch_size: int = BATCH,
    report: Callable[[str], None] = log.warning,
) -> Iterator[pl.DataFrame]:
    """Read a data set in batches; pictures are not decoded, so that a broken one does not end the stream.

    Parameters
    ----------
    source
        - A folder. All pictures below it are rows, with their captions (as :func:`list_captions` reads them, or from
          a table that names the pictures in a column). So are the samples of ``.tar`` files that are named as
          WebDataset names them (a sample is what has the same path up to the first dot of the file name), and the
          rows of ``.parquet`` files with a column of pictures. If there is none of these, the rows of tables of texts
          are read. A folder that `save_to_disk` of the library datasets wrote is read by that library.
        - One such file.
        - ``org/name`` on the Hugging Face hub, if there is no such path.
    split
        Split to read, such as ``train``, or ``all``; by default the first one. In a folder, the first folder of a path
        is its split if each path has one; tables and tars also have one by the first word of their name.
    revision
        Commit, tag or branch of a data set of the Hugging Face hub; by default its newest files.
    text, image
        Columns of the texts and the pictures; by default guessed by name and type, which is then logged. A data set
        may have only one of the two.
    n_rows
        Largest number of rows to read; by default all.
    batch_size
        Largest number of rows per frame; their encoded pictures are in memory together.
    report
        Is called with one line on what is read and what is left out, and one on what was read; by default it is
        logged.

    Returns
    -------
    Frames of `image_id` (String: the picture's path within the data set, or a hash of its content), `text` (String),
    `image` (Binary: the encoded file), `status` (Enum) and `error` (String), which are null unless the picture cannot
    be read.

    Raises
    ------
    FileNotFoundError
        If there is no such file or folder, or nothing in it to read.
    CaptionError
        If the data set cannot be opened, or lacks a split or column that was asked for; the message lists those that
        exist. Also if a local file or folder is to have a revision.

    Examples
    --------
    >>> import facestats as fs
    >>> folder = str(fs.testing.example_project().raw_dir)
    >>> batch = next(fs.read_dataset(folder, n_rows=2, report=print))
    reading 12 pictures
    >>> batch.schema.names(), batch.height
    (['image_id', 'text', 'image', 'status', 'error'], 2)
    """
    return read_source(
        source,
        split=split,
        revision=revision,
        text=text,
        image=image,
        n_rows=n_rows,
        batch_size=batch_size,
        report=report,
        captions_of=list_captions,
    )
