"""A small project whose run touches every kind of file that the store writes; its models are fakes."""

from __future__ import annotations

import hashlib
import re
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from PIL import Image

import facestats as fs
from facestats.core.atomic_write import remove_leftovers, write_atomically
from facestats.faces.align import _align_one, _to_table, _unopened_row
from facestats.pictures.crops import CROP_FILE
from facestats.store import table_files
from facestats.testing import AGES, FakeEncoder, FakeLandmarker, _attribute, draw_faces

if TYPE_CHECKING:
    from pathlib import Path

TABLES = ("faces", "embeddings", "attributes", "master", "composites")
ASKED = {"age": _attribute("Age", AGES)}
LEFTOVER = re.compile(r".*\.tmp|chunk-.*|(next|ready|old)\.parquet|owner")
N_FIRST, N_ALL = 8, 11


def draw(folder: Path) -> None:
    """Draw the pictures of a project: the first run sees eight of them, later ones eleven, and one is another."""
    draw_faces(folder / "raw", n_faces=N_ALL)
    (folder / "later").mkdir()
    for i in range(N_FIRST, N_ALL):
        (folder / f"raw/face_{i:03d}.png").rename(folder / f"later/face_{i:03d}.png")
    Image.new("RGB", (64, 64)).save(folder / "raw/plain.png")


def grow(folder: Path) -> None:
    """Add the later pictures, take one away, and change one."""
    for path in (folder / "later").iterdir():
        path.rename(folder / "raw" / path.name)
    (folder / "raw/face_001.png").unlink()
    Image.open(folder / "raw/face_002.png").transpose(0).save(folder / "raw/face_002.png")


def align(images: pl.DataFrame, *, crops_dir: Path, size: int = 32) -> pl.DataFrame:
    """Align as the stage does, but in this process."""
    rows = []
    for image in images.iter_rows(named=True):
        given = {"landmarker": FakeLandmarker(), "crops_dir": crops_dir, "size": size}
        found = _align_one(image["image_id"], image["path"], **given, policy="largest", max_pixels=10**6)
        rows.append(_unopened_row(image) | found)
    return _to_table(rows)


def embed(faces: pl.DataFrame, *, crops_dir: Path, dim: int = 8) -> pl.DataFrame:
    """Embed crops by their mean colours, in this process."""
    vectors = np.full((faces.height, dim), np.nan, np.float32)
    for row, crop in enumerate(faces["crop"]):
        if crop is not None:
            picture = FakeEncoder().prepare(Image.open(crops_dir / crop))
            vectors[row] = FakeEncoder().encode_images(picture[None])[0]
    column = pl.Series("embedding", vectors, dtype=pl.Array(pl.Float32, dim))
    known = pl.Series(~np.isnan(vectors[:, 0]))
    found = pl.select(pl.when(known).then(column).alias("embedding")).to_series()
    return faces.select("image_id", pl.col("status").cast(fs.tables.STATUS), "error", found).with_columns(
        embedding_full="embedding"
    )


def label(embeddings: pl.DataFrame) -> pl.DataFrame:
    """Label row by row: a product of matrices differs in the last bits with the number of rows in it."""
    rows = embeddings.iter_slices(1)
    return pl.concat(fs.label_attributes(row, FakeEncoder(), ASKED) for row in rows)


def counts(master: pl.DataFrame) -> pl.DataFrame:
    """Count the faces of each age; a table that `Store.write` writes."""
    groups = master.drop_nulls("crop").group_by("age", maintain_order=True).agg("image_id").sort("age")
    names = groups["age"].cast(pl.String)
    return pl.DataFrame(
        {
            "composite": names,
            "method": ["mean"] * groups.height,
            "n": groups["image_id"].list.len().cast(pl.Int32),
            "members": groups["image_id"],
        }
    )


def make_all(folder: Path) -> None:
    """Run all stages, as the notebooks do."""
    table_files.PART_ROWS = 3
    store = fs.Store(folder)
    remove_leftovers(folder / "processed")
    remove_leftovers(folder / "report")
    build = partial(store.build, progress=False, chunk_size=2)
    build("faces", fs.list_images(folder / "raw").lazy(), align, crops_dir=store.crops_dir)
    build("embeddings", store.scan("faces"), embed, crops_dir=store.crops_dir)
    labels = build("attributes", store.scan("embeddings"), label)
    faces = store.read("faces", fingerprint=True)
    master = build("master", faces, fs.merge_master, attributes=labels.collect(), chunk_size=None)
    found = store.remember("counts", counts, master)
    store.write("composites", found)
    write_atomically(folder / "report/index.html", "".join(found["composite"]))


def finish(folder: Path) -> dict:
    """Run all stages undisturbed, and tell what there is."""
    make_all(folder)
    return tell(folder)


def tell(folder: Path) -> dict:
    """Tell the rows of every table by key, the crops, and what should not be there."""
    store = fs.Store(folder)
    tables, named = {}, set()
    for name in TABLES:
        frame = store.read(name)
        keys = frame[fs.tables.TABLES[name].key].to_list()
        digests = [hashlib.sha256(repr(row).encode()).hexdigest()[:16] for row in frame.iter_rows()]
        tables[name] = list(zip(keys, digests, strict=True))
        named |= set(frame["crop"].drop_nulls()) if name == "faces" else set()
    on_disk = {p.name: p.read_bytes() for p in store.crops_dir.iterdir() if CROP_FILE.fullmatch(p.name)}
    files = [p.relative_to(folder).as_posix() for p in folder.rglob("*") if LEFTOVER.fullmatch(p.name)]
    return {
        "tables": tables,
        "crops": {name: hashlib.sha256(data).hexdigest()[:16] for name, data in sorted(on_disk.items())},
        "lost": sorted(named - set(on_disk)),
        "left": sorted(files),
        "states": dict(
            store.status(verify=True).filter(pl.col("state") != "missing").select("table", "state").rows()
        ),
        "report": (folder / "report/index.html").read_text(),
    }
