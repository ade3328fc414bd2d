"""Provide drawn faces, models without weights and a small project, for tests and for the examples of docstrings.

The models implement the protocols of `core.protocols`, are deterministic, and need no download.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from PIL import Image, ImageDraw

from facestats.core.attribute_settings import AttributeSettings, OptionSettings
from facestats.core.protocols import Face
from facestats.core.tables import N_LANDMARKS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from facestats.store import Store

__all__ = [
    "ExampleProject",
    "FakeEncoder",
    "FakeLandmarker",
    "FakeTextClassifier",
    "draw_faces",
    "example_project",
]

AGES, COLORS = ("child", "elderly"), ("black", "red")  # options of the example project
TONES = {"dark": (120, 80, 60), "medium": (200, 160, 130), "light": (240, 210, 190)}
# where draw_faces draws the points that alignment uses: index of the FaceMesh point -> x, y
_POINTS = {
    33: (108, 142),
    133: (132, 142),
    362: (188, 142),
    263: (212, 142),
    468: (120, 142),
    473: (200, 142),
}
_POINTS |= {1: (160, 190), 2: (160, 198), 61: (130, 230), 291: (190, 230), 10: (160, 45), 152: (160, 285)}


def draw_faces(folder: Path, *, n_faces: int = 12, seed: int = 0) -> None:
    """Draw cartoon faces in three skin tones, as ``face_000.png``, ``face_001.png`` and so on.

    Parameters
    ----------
    folder
        Folder of the pictures; it is made if it is missing.
    n_faces
        Number of pictures, each 320 x 320 pixels.
    seed
        Seed of the colours of the backgrounds.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import facestats as fs
    >>> with TemporaryDirectory() as folder:
    ...     fs.testing.draw_faces(Path(folder), n_faces=2)
    ...     print(fs.list_images(folder)["image_id"].to_list())
    ['face_000.png', 'face_001.png']
    """
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(n_faces):
        image = Image.new("RGB", (320, 320), tuple(rng.integers(0, 80, 3).tolist()))
        pen = ImageDraw.Draw(image)
        pen.ellipse((60, 40, 260, 290), fill=list(TONES.values())[i % 3])
        for x in (120, 200):
            pen.ellipse((x - 12, 130, x + 12, 154), fill=(20, 20, 20))
        pen.rectangle((130, 225, 190, 235), fill=(150, 30, 40))
        image.save(folder / f"face_{i:03d}.png")


class FakeLandmarker:
    """A landmarker that finds the one face that `draw_faces` drew, and none in a picture of one colour.

    Examples
    --------
    >>> import numpy as np
    >>> import facestats as fs
    >>> fs.testing.FakeLandmarker().find(np.zeros((320, 320, 3), dtype=np.uint8))
    []
    """

    name = "fake-landmarks@1"

    def find(self, pixels: NDArray[np.uint8]) -> list[Face]:
        """Return the drawn face of an RGB picture, (height, width, 3) uint8; an empty list if it has one colour."""
        if pixels.min() == pixels.max():
            return []
        rng = np.random.default_rng(0)  # the other points of the mesh lie anywhere inside the face
        points = rng.uniform((90, 80), (230, 260), size=(N_LANDMARKS, 2)).astype(np.float32)
        points[list(_POINTS)] = list(_POINTS.values())
        depth = np.zeros(N_LANDMARKS, dtype=np.float32)
        return [Face(points, depth, (60.0, 40.0, 260.0, 290.0), 1.0, self.name)]


class FakeEncoder:
    """An encoder: the vector of a picture is its mean colour, the vector of a text is noise seeded by the text.

    Examples
    --------
    >>> import facestats as fs
    >>> fs.testing.FakeEncoder().encode_texts(["a face", "a cat"]).shape
    (2, 8)
    """

    name = "fake-clip@1"
    dim = 8
    input_side = 16
    logit_scale = 100.0

    def prepare(self, image: Image.Image) -> NDArray[np.uint8]:
        """Shrink an RGB picture to 16 x 16 pixels, (16, 16, 3) uint8."""
        return np.asarray(image.resize((16, 16)), dtype=np.uint8)

    def encode_images(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the mean colours of prepared pictures, padded to (n, 8) and scaled to length one."""
        means = pixels.astype(np.float32).mean(axis=(1, 2)) / 255
        return _unit(np.pad(means, ((0, 0), (0, self.dim - 3)), constant_values=0.1))

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit vectors, (n, 8), that depend on the texts alone."""
        return _unit(np.stack([_noise(t, self.dim) for t in texts]))


class FakeTextClassifier:
    """A text classifier: a text entails a hypothesis if it contains all its content words.

    Examples
    --------
    >>> import facestats as fs
    >>> texts, hypotheses = ["A woman with red hair."], ["The person has red hair.", "The person has black hair."]
    >>> fs.testing.FakeTextClassifier().score(texts, hypotheses).argmax(axis=2).tolist()
    [[1, 0]]
    """

    name = "fake-nli@1"

    def score(self, texts: Sequence[str], hypotheses: Sequence[str]) -> NDArray[np.float32]:
        """Return logits of contradiction and entailment, (n_texts, n_hypotheses, 2) float32."""
        skipped = {"the", "person", "is", "has", "a", "an", "wears", "hair", "eyes", "clothes"}
        out = np.zeros((len(texts), len(hypotheses), 2), dtype=np.float32)
        for i, text in enumerate(texts):
            words = set(text.lower().replace(".", " ").replace(",", " ").split())
            for j, hypothesis in enumerate(hypotheses):
                wanted = set(hypothesis.lower().rstrip(".").split()) - skipped
                out[i, j] = (-2, 2) if wanted <= words else (2, -2)
        return out


def _noise(text: str, dim: int) -> NDArray[np.float32]:
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little")
    return np.random.default_rng(seed).random(dim, dtype=np.float32)


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@dataclass(frozen=True)
class ExampleProject:
    """Twelve drawn faces and the tables that every stage makes of them with the models of this module.

    Parameters
    ----------
    folder
        Folder of the project: `raw/` holds the pictures, `metadata.csv` and `ratings.csv`.
    store
        Tables of the project.
    attributes
        Settings of two attributes: `age` (child, elderly) and `hair_color` (black, red).
    landmarker, encoder, classifier
        The models that made the tables.
    truth
        True age of every picture: `image_id`, `true_age`.
    captions, faces, embeddings, text_labels, master, clusters
        Tables of these names.
    labels
        Table `attributes`.
    ratings
        Single ratings by people, as :func:`facestats.ratings.read` returns them.
    """

    folder: Path
    store: Store
    attributes: dict[str, AttributeSettings] = field(repr=False)
    landmarker: FakeLandmarker
    encoder: FakeEncoder
    classifier: FakeTextClassifier
    truth: pl.DataFrame = field(repr=False)
    captions: pl.DataFrame = field(repr=False)
    faces: pl.DataFrame = field(repr=False)
    embeddings: pl.DataFrame = field(repr=False)
    labels: pl.DataFrame = field(repr=False)
    text_labels: pl.DataFrame = field(repr=False)
    master: pl.DataFrame = field(repr=False)
    clusters: pl.DataFrame = field(repr=False)
    ratings: pl.DataFrame = field(repr=False)

    @property
    def raw_dir(self) -> Path:
        """Folder of the pictures."""
        return self.folder / "raw"

    @property
    def crops_dir(self) -> Path:
        """Folder of the crops."""
        return self.store.crops_dir


@cache
def example_project() -> ExampleProject:
    """Make the example project in a temporary folder, once per process; the folder is deleted when Python ends.

    Returns
    -------
    The project. Do not change its frames or files: all examples share them.

    Examples
    --------
    >>> import facestats as fs
    >>> project = fs.testing.example_project()
    >>> project.master.height
    12
    >>> project.faces["status"].unique().to_list()
    ['ok']
    """
    # imported here, so that the models of this module can be used without loading the stages
    from facestats import attributes, clusters, embeddings, faces, inputs, master, ratings, text_labels
    from facestats.store import Store

    folder = Path(mkdtemp(prefix="facestats-example-"))
    atexit.register(_remove, folder, os.getpid())
    names = _write_raw(folder / "raw")
    asked = {"age": _attribute("Age", AGES), "hair_color": _attribute("Hair_Color", COLORS)}
    store, landmarker, encoder = Store(folder), FakeLandmarker(), FakeEncoder()
    classifier = FakeTextClassifier()
    build = partial(store.build, progress=False)
    images, captions = inputs.list_images(folder / "raw"), inputs.list_captions(folder / "raw")
    crops = store.crops_dir
    aligned = build(
        "faces", images, faces.align_faces, landmarker=landmarker, crops_dir=crops, size=64, workers=1
    )
    vectors = build(
        "embeddings",
        aligned,
        embeddings.embed_faces,
        encoder=encoder,
        crops_dir=crops,
        raw_dir=folder / "raw",
        workers=1,
    )
    labels = build("attributes", vectors, attributes.label_attributes, encoder=encoder, attributes=asked)
    said = build("text_labels", captions, text_labels.label_texts, classifier=classifier, attributes=asked)
    tables = {"attributes": labels, "text_labels": said, "captions": captions}
    build("master", aligned, master.merge_master, chunk_size=None, **tables)
    # UMAP takes seconds to load: both layouts are therefore those of the principal components
    flat = clusters.project_pca(vectors).with_columns(pca_x="x", pca_y="y")
    found = clusters.cluster_faces(vectors, n_clusters=3)
    store.write("clusters", found.join(flat, on="image_id", how="left", validate="1:1"))
    true = pl.Series("true_age", [AGES[i % 2] for i in range(12)], dtype=pl.Enum(AGES))
    return ExampleProject(
        folder,
        store,
        asked,
        landmarker,
        encoder,
        classifier,
        truth=pl.DataFrame({"image_id": names, "true_age": true}),
        captions=captions,
        faces=store.read("faces"),
        embeddings=store.read("embeddings"),
        labels=store.read("attributes"),
        text_labels=store.read("text_labels"),
        master=store.read("master"),
        clusters=store.read("clusters"),
        ratings=ratings.read(folder / "raw" / "ratings.csv"),
    )


def _remove(folder: Path, owner: int) -> None:
    """Remove a folder at the end of the process that made it, and not at the end of one that was forked from it."""
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)


def _write_raw(folder: Path) -> list[str]:
    """Draw the pictures, write their captions and ratings, and return their names."""
    draw_faces(folder, n_faces=12)
    names = [f"face_{i:03d}.png" for i in range(12)]
    captions = [f"{n},A {AGES[i % 2]} with {COLORS[i % 3 % 2]} hair." for i, n in enumerate(names)]
    (folder / "metadata.csv").write_text("\n".join(["file_name,text", *captions]), encoding="utf-8")
    ratings = [f"{n},rater_{j},{1 + (i + j) % 7}" for i, n in enumerate(names) for j in range(4)]
    lines = ["image_id,rater_id,rating", *ratings]
    (folder / "ratings.csv").write_text("\n".join(lines), encoding="utf-8")
    return names


def _attribute(title: str, options: Sequence[str]) -> AttributeSettings:
    return AttributeSettings(
        title=title,
        image_templates=("a photo of a person with {}", "a drawing of {}"),
        text_templates=("The person has {}.",),
        options={o: OptionSettings(image=(f"{o} {title}", o), text=(o,)) for o in options},
    )


def __dir__() -> list[str]:
    return __all__
