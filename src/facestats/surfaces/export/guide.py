"""The column guide: what each column of an exported table means, and which model made it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

import facestats as fs
from facestats.core.tables import TABLES, TRUE_PREFIX

if TYPE_CHECKING:
    from collections.abc import Mapping

    from facestats.core.config import Config

_COLUMNS = ("column", "type", "unit", "meaning", "made_by", "model", "options", "prompts")
_PIXELS = "pixels of the picture"
# column -> meaning, unit
_KNOWN = {
    "image_id": ("the picture: its path below the folder of pictures", ""),
    "status": ("ok, or why the picture could not be used", ""),
    "error": ("what went wrong, in words", ""),
    "sha256": ("hash of the file: equal files have equal hashes", ""),
    "bytes": ("size of the file", "bytes"),
    "width": ("width of the picture", "pixels"),
    "height": ("height of the picture", "pixels"),
    "format": ("format of the file", ""),
    "icc_profile": ("colour profile of the file; the crop is sRGB", ""),
    "n_faces": ("number of faces found in the picture", "faces"),
    "detector": ("the detector that found the face", ""),
    "score": ("how sure the detector is of the face", "0 to 1"),
    "yaw": ("head turned to the side", "degrees"),
    "pitch": ("head turned up or down", "degrees"),
    "roll": ("head tilted to a shoulder", "degrees"),
    "eye_distance_px": ("distance between the irises", _PIXELS),
    "sharpness": ("variance of the Laplacian of the crop; a low value means blur", ""),
    "crop": ("file of the aligned crop", ""),
    "text": ("the caption of the picture", ""),
    "cluster": ("number of the cluster; 0 is the largest, -1 is noise", ""),
    "x": ("place on the UMAP map, to the right", "no unit"),
    "y": ("place on the UMAP map, upwards", "no unit"),
    "pca_x": ("first principal component of the vectors", "no unit"),
    "pca_y": ("second principal component of the vectors", "no unit"),
}
# end of a column of an attribute -> meaning, unit
_PARTS = {
    "_score": ("how sure it is: {who}", "0 to 1"),
    "_margin": ("probability of the likeliest option minus that of the next: {who}", "0 to 1"),
    "_source": ("which source gave the merged label for {title}", ""),
    "_conflict": ("whether picture and text differ in {title}", "yes or no"),
    "_prob_": ("probability of the option {option}: {who}", "0 to 1"),
    "": ("{who}", ""),
}
_WHO = {
    "image_": "perceived {}, by the prompts",
    "text_": "{} in the caption",
    "human_": "{}, by people",
    "probe_": "perceived {}, by a probe that learned from people",
    TRUE_PREFIX: "known {}",
    "": "perceived {}, merged from all sources",
}
_RATED = {
    "_sd": ("standard error of the predicted rating: {}", True),
    "_low": ("lower end of the prediction interval: {}", True),
    "_high": ("upper end of the prediction interval: {}", True),
    "_ood": ("whether the face is unlike those that the model was trained on: {}", False),
    "": (
        "the rating that these raters would give, predicted: {}. For faces that they rated, the model knows their"
        " ratings: it is nearer to them than to other faces (reliability: held_out_r)",
        True,
    ),
}
_RATED_FACES = {
    "_rating": ("mean rating by people, corrected for the severity of the raters: {}", True),
    "_n": ("number of ratings: {}", False),
    "_predicted": ("prediction by a model that has not seen the face: {}", True),
    "_residual": ("rating minus held-out prediction: {}", True),
    "_fold": ("number of the fold in which the face was held out: {}", False),
}
# columns of table reliability
_RELIABILITY = {
    "icc_2_1": "agreement of single raters: the intraclass correlation ICC(2,1)",
    "icc_2_k": "agreement of the mean ratings: ICC(2,k), for k ratings per face",
    "single_rater": "mean correlation of one rater with the mean of the others",
    "split_half": "mean correlation of the mean ratings of two random halves of the raters",
    "spearman_brown": "split_half, extrapolated to all raters (Spearman-Brown)",
    "ceiling": "highest correlation with the mean ratings to be expected of any prediction",
    "trait": "what was rated",
    "n_faces": "number of faces that were rated",
    "n_raters": "number of raters",
    "n_ratings": "number of ratings",
    "model": "name of the model that is applied; empty if none is",
    "why_not": "why no model is applied",
    "held_out_r": (
        "correlation of predicted and mean ratings, of faces that the model had not seen, after the mean rating of the"
        " training faces is subtracted from both"
    ),
    "skill": "share by which the model's squared error is smaller than that of the mean rating, of unseen faces",
}
# columns of table audit
_AUDIT = {
    "slice": "name of the row: the next four columns",
    "attribute": "what the labels are about; all: the mean over attributes",
    "source": "where the labels come from: merged, image (the prompts), text, probe, or a classifier",
    "by": "attributes whose known values define the groups; all: no groups",
    "group": "the known value of these attributes",
    "n": "number of faces that were scored",
    "accuracy": "share of correct labels; a picture without a label is wrong",
    "balanced_accuracy": "mean of the shares of correct labels within each known option",
    "macro_f1": "mean over options of the harmonic mean of precision and recall",
    "p_adjusted": "p-value of a difference from all other faces, adjusted for the groups compared",
    "smallest_gap": "smallest difference from the other faces that a test would find with a probability of 80 %",
}
_STATISTICS = {"reliability": _RELIABILITY, "audit": _AUDIT}
_ENDS = {"_low": "lower end of the 95 % interval: ", "_high": "upper end of the 95 % interval: "}


def column_guide(table: pl.DataFrame, origins: Mapping[str, str], config: Config) -> pl.DataFrame:
    """Describe the columns of an exported table.

    Parameters
    ----------
    table
        The exported table.
    origins
        For each column the stored table that holds it, or a file.
    config
        Settings of the project: attributes, their options and prompts, the unit of ratings.

    Returns
    -------
    A row per column: `column`, `type`, `unit`, `meaning`, `made_by` (a notebook or a file), `model`, `options` and
    `prompts` (String).
    """
    models = {name: _model(fs.Store(config.data_dir), name) for name in {*origins.values()} & {*TABLES}}
    rows = []
    for column, kind in table.schema.items():
        origin = origins[column]
        label = _parse_label(column, config)
        meaning, unit = _describe(column, label, origin, config)
        labels = kind.categories.to_list() if isinstance(kind, pl.Enum) else []
        rows.append(
            {
                "column": column,
                "type": _type(kind),
                "unit": unit,
                "meaning": meaning,
                "made_by": Path(TABLES[origin].made_by).stem if origin in TABLES else origin,
                "model": models.get(origin, ""),
                "options": "; ".join(labels),
                "prompts": _prompts(label, config) if label else "",
            }
        )
    return pl.DataFrame(rows, schema=dict.fromkeys(_COLUMNS, pl.String))


class _Label(NamedTuple):
    """A column of an attribute, taken apart: ``image_``, ``age``, ``_prob_``, ``child``."""

    who: str
    attribute: str
    part: str
    option: str


def _parse_label(column: str, config: Config) -> _Label | None:
    """Take the column of an attribute apart; None for another column."""
    for attribute in sorted(config.attributes, key=len, reverse=True):
        found = re.fullmatch(
            rf"(|.+_)({re.escape(attribute)})(_score|_margin|_source|_conflict|_prob_|)(|(?<=_prob_).+)",
            column,
        )
        if found:
            return _Label(*found.groups())
    return None


def _describe(column: str, label: _Label | None, origin: str, config: Config) -> tuple[str, str]:
    if origin in _STATISTICS:
        end = next((e for e in _ENDS if column.endswith(e)), "")
        name = column.removesuffix(end)
        return _ENDS.get(end, "") + _STATISTICS[origin].get(name, f"column {name} of {origin}"), ""
    if column in _KNOWN:
        return _KNOWN[column]
    if origin in {"rated_faces", "ratings"}:
        return _describe_rating(column, origin, config)
    if label:
        title = config.attributes[label.attribute].title.replace("_", " ").lower()
        # probabilities and margins are not merged: they are those of the prompts
        by = "image_" if not label.who and label.part in {"_margin", "_prob_"} else label.who
        who = _WHO.get(by, f"perceived {{}}, by {by.strip('_')}").format(title)
        text, unit = _PARTS[label.part]
        return text.format(who=who, title=title, option=label.option), unit
    if point := re.fullmatch(r"lm_(\d+)_([xy])", column):
        side = "from the left" if point[2] == "x" else "from the top"
        return f"point {int(point[1])} of the face mesh (Mediapipe FaceMesh), {side}", _PIXELS
    return f"column {column} of {origin}", ""


def _describe_rating(column: str, origin: str, config: Config) -> tuple[str, str]:
    """Describe a column of a trait: what people said of the faces, or what a model predicts."""
    if origin == "rated_faces":
        end = next(e for e in _RATED_FACES if column.endswith(e))
        text, has_unit = _RATED_FACES[end]
        return text.format(column.removesuffix(end)), config.ratings.unit if has_unit else ""
    end = next(e for e in _RATED if column.endswith(e))
    text, has_unit = _RATED[end]
    level = f" ({100 * config.ratings.level:g} %)" if end in _ENDS else ""
    return text.format(column.removesuffix(end)) + level, config.ratings.unit if has_unit else "yes or no"


def _type(kind: pl.DataType) -> str:
    if kind == pl.Boolean:
        return "yes or no"
    if isinstance(kind, pl.Enum):
        return "one of the options"
    return "whole number" if kind.is_integer() else "number" if kind.is_numeric() else "text"


def _model(store: fs.Store, name: str) -> str:
    params = store.provenance(name).get("stage", {}).get("params", {})
    named = (
        params.get(key) for key in ("landmarker", "encoder", "classifier", "classifiers", "model", "method")
    )
    return ", ".join(str(value) for value in named if value)


def _prompts(label: _Label, config: Config) -> str:
    """List the phrases that a label of pictures or of texts was compared with."""
    if label.part or label.who in {TRUE_PREFIX, "human_"}:
        return ""
    settings = config.attributes[label.attribute]
    prompts = settings.hypotheses() if label.who == "text_" else settings.image_prompts()
    return "; ".join(f"{option}: {', '.join(texts)}" for option, texts in prompts.items())
