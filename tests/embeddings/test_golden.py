from __future__ import annotations

import struct

import numpy as np
import polars as pl
from PIL import Image

import facestats as fs
from facestats import embeddings
from facestats.models.clip_preprocess import Preprocess
from facestats.pictures.crops import accepted_pixels
from tests.golden import check_golden

STATUS = {"ok": "a.jpg b.png c.jpg g.png h.png i.jpg wide.bmp", "ok_first_frame": "d.png", "no_face": "e.jpg"}
STATUS |= {"many_faces": "f.png", "corrupt": "j.png", "vanished": "k.png"}


class Patches:
    """Colours of the patches of a picture, as models see it that want it in different ways."""

    name, dim, input_side, logit_scale = "patches@1", 12, 16, 100.0
    ways = (
        Preprocess((16, 16)),
        Preprocess((12, 16), resize_mode="longest", interpolation="bilinear", fill=90),
        Preprocess((16, 12), resize_mode="squash"),
    )

    def prepare(self, image):
        return np.stack([np.resize(way.apply(image), (16, 16, 3)) for way in self.ways])

    def encode_images(self, pixels):
        parts = pixels.reshape(len(pixels), -1, self.dim).astype(np.float32) / 255 - 0.5
        vectors = parts.std(axis=1) + parts[:, ::7].mean(axis=1)
        vectors[(pixels[:, 0] == 0).all(axis=(1, 2, 3))] = np.nan  # as half precision may
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def encode_texts(self, texts):
        values = np.array([[np.sin(len(t) + i * ord(t[-1])) for i in range(self.dim)] for t in texts])
        return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


def draw(path, seed):
    """A picture of stripes, black for g.png; its name says the format."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: int(rng.integers(60, 150)), : int(rng.integers(60, 150))]
    waves = [np.sin(x / rng.uniform(3, 40) + y / rng.uniform(3, 40) + k) for k in range(3)]
    grey = 0 if path.name == "g.png" else 130 + 100 * np.stack(waves, axis=-1)
    Image.fromarray(np.broadcast_to(grey, (*x.shape, 3)).astype(np.uint8)).save(path)


def project(folder):
    """Folders of crops and of pictures, and the table of faces between them."""
    crops, raw = folder / "crops", folder / "raw"
    crops.mkdir()
    raw.mkdir()
    rows = [(name, status) for status, names in STATUS.items() for name in names.split()]
    for seed, (name, status) in enumerate(rows):
        if status not in {"corrupt", "vanished"}:
            draw(raw / name, seed)
        if status.startswith("ok"):
            draw(crops / name, seed + 50)
    (crops / "h.png").write_text("no picture")
    (raw / "i.jpg").unlink()
    # only a header, of a picture that is beyond the usual limit, and is accepted where stage 01 accepted it
    header = struct.pack("<2sIHHIIiiHHIIiiII", b"BM", 54, 0, 0, 54, 40, 8000, 6251, 1, 24, 0, 0, 0, 0, 0, 0)
    (raw / "wide.bmp").write_bytes(header)
    (raw / "b.png").write_bytes(b"")
    table = pl.DataFrame(rows, schema=["image_id", "status"], orient="row").with_columns(
        error=pl.when(pl.col("status") == "corrupt").then(pl.lit("broken")),
        crop=pl.when(pl.col("status").str.starts_with("ok")).then("image_id"),
    )
    return table, crops, raw


def test_the_golden_values_of_embeddings(tmp_path):
    table, crops, raw = project(tmp_path)
    sizes = pl.DataFrame({"width": [8000, 900, None], "height": [6251, 800, 4]})
    encoder = Patches()
    whole = fs.embed_faces(table, encoder, crops, raw_dir=raw, batch_size=3, workers=1)
    accepted = table.filter(image_id="wide.bmp").with_columns(width=8000, height=6251)
    let_through = fs.embed_faces(accepted, encoder, crops, raw_dir=raw, workers=1)
    words = {"plus": ["a smiling person", "joy"], "minus": ["a face"], "encoder": encoder}
    mixed = fs.embeddings.query_vector(whole, like=["a.jpg", "d.png"], **words)
    strong = fs.embeddings.query_vector(whole, like=["a.jpg"], strength=0.4, column="embedding_full", **words)
    alone = fs.embeddings.query_vector(whole, like=["c.jpg"])
    check_golden(
        "embeddings",
        embeddings.VERSION,
        {
            "embeddings": without_reasons(whole),
            "let_through": without_reasons(let_through),
            "accepted_pixels": accepted_pixels(sizes),
            "crops_alone": fs.embed_faces(table.head(2), encoder, crops, workers=1),
            "queries": [mixed, strong, alone],
            "found": fs.search_faces(pl.concat([whole.lazy()] * 3), 3 * mixed),
            "found_whole": fs.search_faces(whole, strong, column="embedding_full", top=4),
        },
    )


def without_reasons(table):
    """Leave out what another library says of a broken file."""
    return table.with_columns(pl.col("error").str.replace(r" \(.*\)", ""))
