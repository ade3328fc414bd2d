from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import facestats as fs
from facestats import average_faces
from facestats.composites.warp import LEFT, MIDLINE, RIGHT
from facestats.core.tables import COMPOSITES, N_LANDMARKS, TableError
from facestats.store.store import Store
from tests.conftest import LONDON, needs_london

if TYPE_CHECKING:
    from pathlib import Path

SIDE = 96
SPOTS = (33, 263, 1, 61, 291)  # what the drawn faces show: eyes, nose, mouth corners


def draw(folder: Path, n: int, *, move: float = 3.0, seed: int = 0) -> pl.DataFrame:
    """Faces of five dark spots at their landmarks, which differ from face to face by `move` pixels."""
    rng = np.random.default_rng(seed)
    base = rng.uniform((20, 15), (44, 85), size=(N_LANDMARKS, 2))
    base[list(MIDLINE)] = np.column_stack([np.full(len(MIDLINE), 47.5), np.linspace(15, 85, len(MIDLINE))])
    base[list(RIGHT)] = base[list(LEFT)] * [-1, 1] + [SIDE - 1, 0]
    landmarks = base + rng.normal(0, move, (n, 1, 2)) + (base - 48) * rng.normal(0, move / 40, (n, 1, 2))
    y, x = np.mgrid[:SIDE, :SIDE]
    for i, points in enumerate(landmarks):
        grey = np.full((SIDE, SIDE), 200.0 - 40 * (i % 2))
        for spot in SPOTS:
            grey -= 120 * np.exp(-((x - points[spot, 0]) ** 2 + (y - points[spot, 1]) ** 2) / 4)
        Image.fromarray(np.repeat(grey.clip(0, 255).astype(np.uint8)[..., None], 3, 2)).save(
            folder / f"{i}.png"
        )
    identity = np.tile(np.array([[1.0, 0, 0], [0, 1, 0]]), (n, 1, 1))
    return pl.DataFrame(
        {
            "image_id": [f"p{i}.jpg" for i in range(n)],
            "crop": [f"{i}.png" for i in range(n)],
            "landmarks": pl.Series(
                landmarks.astype(np.float32), dtype=pl.Array(pl.Float32, (N_LANDMARKS, 2))
            ),
            "matrix": pl.Series(identity, dtype=pl.Array(pl.Float64, (2, 3))),
            "gender": ["female", "male"] * (n // 2) + ["female"] * (n % 2),
            "age": range(20, 20 + n),
        }
    )


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("crops")


@pytest.fixture(scope="module")
def faces(crops: Path) -> pl.DataFrame:
    return draw(crops, 20)


@pytest.mark.parametrize("method", ["mean", "warp"])
def test_average_of_one_face_is_that_face(faces: pl.DataFrame, crops: Path, method: str):
    one = average_faces(faces[3], crops, method=method, min_faces=1)
    assert np.array_equal(one.pixels, np.asarray(Image.open(crops / "3.png")))
    assert one.sd.max() == 0


def test_mean_is_the_mean_of_the_pixels(faces: pl.DataFrame, crops: Path):
    stack = np.stack([np.asarray(Image.open(crops / c)) for c in faces["crop"]]).astype(float)
    mean = average_faces(faces, crops)
    assert np.abs(mean.pixels - stack.mean(axis=0)).max() <= 0.5
    assert np.allclose(mean.sd, np.sqrt(stack.var(axis=0).mean(axis=-1)), atol=1e-3)


def test_warped_mean_is_sharp_where_the_mean_blurs(faces: pl.DataFrame, crops: Path):
    mean, warped = (average_faces(faces, crops, method=m) for m in ("mean", "warp"))
    assert fs.composites.sharpness_ratio(warped, mean) > 3
    x, y = warped.shape[[*MIDLINE, *LEFT].index(1)].round().astype(int)
    assert warped.pixels[y, x, 0] < mean.pixels[y, x, 0] - 20


def test_order_of_faces_changes_no_pixel(faces: pl.DataFrame, crops: Path):
    a, b = (average_faces(f, crops, method="warp") for f in (faces, faces[list(range(19, -1, -1))]))
    assert np.abs(a.pixels.astype(int) - b.pixels).max() <= 1  # the mean shape is a sum of floats


def test_weights_weigh(faces: pl.DataFrame, crops: Path):
    weighed = faces.head(2).with_columns(w=pl.Series([3.0, 1.0]))
    repeated = pl.concat([faces[[0]]] * 3 + [faces[[1]]])
    a = average_faces(weighed, crops, min_faces=2, weights="w")
    b = average_faces(repeated, crops, min_faces=2)
    assert np.array_equal(a.pixels, b.pixels)
    assert a.weights == (0.75, 0.25)


@pytest.mark.parametrize("bad", [[-1.0, 2.0], [0.0, 0.0], [None, 1.0], [float("nan"), 1.0]])
def test_bad_weights_are_refused(faces: pl.DataFrame, crops: Path, bad: list):
    rows = faces.head(2).with_columns(w=pl.Series(bad, dtype=pl.Float64))
    with pytest.raises(ValueError, match="weights must be finite"):
        average_faces(rows, crops, min_faces=2, weights="w")


def test_too_few_faces_is_an_error_that_counts_what_is_missing(faces: pl.DataFrame, crops: Path):
    gaps = faces.with_columns(
        crop=pl.when(pl.int_range(pl.len()) < 5).then(None).otherwise("crop"),
        landmarks=pl.when(pl.int_range(pl.len()) >= 7).then(None).otherwise("landmarks"),
    )
    with pytest.raises(
        ValueError, match=r"2 faces.*min_faces is 8.*20 rows.*5 without crop.*13 without landmarks"
    ):
        average_faces(gaps, crops, method="warp")


def test_faces_without_crop_are_left_out_and_counted(faces: pl.DataFrame, crops: Path):
    gaps = faces.with_columns(crop=pl.when(pl.int_range(pl.len()) < 5).then(None).otherwise("crop"))
    mean = average_faces(gaps, crops)
    assert mean.n == 15
    assert mean.settings["excluded"] == {"without crop": 5}
    assert set(mean.members).isdisjoint(faces["image_id"].head(5))


def test_a_long_filter_is_whole_in_the_settings_and_short_on_a_figure(faces: pl.DataFrame, crops: Path):
    names = faces["image_id"].to_list()
    mean = average_faces(faces, crops, where={"image_id": names})
    assert mean.settings["where"] == f"image_id in {', '.join(names)}"
    assert max(map(len, mean.caption.split("\n"))) == 80


def test_filters_are_strict_and_name_the_count_of_each_condition(faces: pl.DataFrame, crops: Path):
    with pytest.raises(
        ValueError, match=r"3 rows.*8 are needed[^$]*gender = female: 10 of 20[^$]*age <= 25: 6 of 20"
    ):
        average_faces(faces, crops, where={"gender": "female", "age": (None, 25)})


def test_only_what_may_be_relaxed_is_and_it_is_written_down(faces: pl.DataFrame, crops: Path):
    mean = average_faces(faces, crops, where={"gender": "female", "age": (20, 25)}, relax=["age"])
    assert mean.n == 10
    assert mean.settings["where"] == "gender = female"
    assert "relaxed: 20 <= age <= 25" in mean.caption
    kept = average_faces(faces, crops, where={"gender": "female", "age": (20, 39)}, relax=["age"])
    assert kept.settings["relaxed"] == []


@pytest.mark.parametrize(
    ("conditions", "n"),
    [
        ({}, 20),
        ({"gender": "male"}, 10),
        ({"gender": ["male", "female"]}, 20),
        ({"age": (22, 24)}, 3),
        ({"age": (None, 24), "gender": "male"}, 2),
        ({"age": 30}, 1),
    ],
)
def test_select_faces(faces: pl.DataFrame, conditions: dict, n: int):
    assert fs.composites.select(faces, **conditions).height == n


def test_select_faces_names_values_and_columns_that_do_not_exist(faces: pl.DataFrame):
    with pytest.raises(
        ValueError, match=r"no row has gender = \['femal'\]; present are \['female', 'male'\]"
    ):
        fs.composites.select(faces, gender="femal")
    with pytest.raises(TableError, match="hair"):
        fs.composites.select(faces, hair="red")


def test_errors_name_the_crop(faces: pl.DataFrame, crops: Path, tmp_path: Path):
    with pytest.raises(ValueError, match=r"0\.png.*gone"):
        average_faces(faces, tmp_path)
    Image.new("RGB", (50, 50)).save(crops / "small.png")
    rows = faces.with_columns(
        crop=pl.when(pl.int_range(pl.len()) == 4).then(pl.lit("small.png")).otherwise("crop")
    )
    with pytest.raises(ValueError, match=r"small\.png is 50x50, the first one 96x96"):
        average_faces(rows, crops)
    with pytest.raises(ValueError, match="method must be one of"):
        average_faces(faces, crops, method="median")


def test_a_composite_carries_its_members_in_png_and_table(faces: pl.DataFrame, crops: Path, tmp_path: Path):
    women = average_faces(faces, crops, method="warp", where={"gender": "female"})
    told = fs.composites.read(women.save(tmp_path / "women.png"))
    assert tuple(told["members"]) == women.members
    assert told["settings"]["where"] == "gender = female"
    assert np.array_equal(np.asarray(Image.open(tmp_path / "women.png")), women.pixels)
    assert women._repr_png_().startswith(b"\x89PNG")
    row = women.to_frame("women")
    assert row.select("composite", "method", "n").row(0) == ("women", "warp", 10)
    assert tuple(row["members"][0]) == women.members
    with pytest.raises(ValueError, match=r"must end in \.png"):
        women.save(tmp_path / "women.jpg")
    with pytest.raises(ValueError, match="does not say how it was made"):
        fs.composites.read(crops / "0.png")


def test_morph_goes_from_one_to_the_other(faces: pl.DataFrame, crops: Path):
    women, men = (average_faces(faces, crops, method="warp", where={"gender": g}) for g in ("female", "male"))
    assert np.array_equal(fs.composites.morph(women, men, share=0).pixels, women.pixels)
    assert np.array_equal(fs.composites.morph(women, men, share=1).pixels, men.pixels)
    half = fs.composites.morph(women, men)
    assert half.n == 20
    assert sum(half.weights) == pytest.approx(1)
    assert np.allclose(half.shape, (women.shape + men.shape) / 2)
    light = [c.pixels.mean() for c in (women, half, men)]
    assert light == sorted(light, reverse=True)


def test_mirrored_average_is_symmetric(faces: pl.DataFrame, crops: Path):
    face = fs.composites.mirror(average_faces(faces[2], crops, method="warp", min_faces=1))
    assert np.array_equal(face.pixels, face.pixels[:, ::-1])
    assert face.method == "symmetric"


def test_without_landmarks_there_is_no_morph(faces: pl.DataFrame, crops: Path):
    mean = average_faces(faces.drop("landmarks"), crops)
    with pytest.raises(ValueError, match="no landmarks"):
        fs.composites.morph(mean, mean)


@pytest.mark.parametrize("method", ["mean", "warp"])
def test_a_difference_of_groups_is_found(faces: pl.DataFrame, crops: Path, method: str):
    found = fs.composites.difference(
        faces, crops, by="gender", groups=("female", "male"), method=method, n_permutations=199, seed=0
    )
    assert found.counts == (10, 10)
    assert found.n == 20
    # women are drawn 40 grey levels lighter everywhere
    assert np.median(found.difference) == pytest.approx(40, abs=2)
    assert found.significant.mean() > 0.9
    again = fs.composites.difference(
        faces, crops, by="gender", groups=("female", "male"), method=method, n_permutations=199, seed=0
    )
    assert np.array_equal(found.p, again.p)


def test_groups_too_small_to_compare_are_an_error(faces: pl.DataFrame, crops: Path):
    with pytest.raises(ValueError, match="gender = male: 3 of 7"):
        fs.composites.difference(faces.head(7), crops, by="gender", groups=("male", "female"), seed=0)


def test_eigenfaces_find_what_differs_most(faces: pl.DataFrame, crops: Path):
    found = fs.composites.eigenfaces(faces, crops, n_components=3, side=48)
    assert found.components.shape == (3, 48, 48, 3)
    assert np.allclose((found.components**2).sum(axis=(1, 2, 3)), 1, atol=1e-3)
    assert found.explained[0] > 0.5  # half of the faces are lighter
    walk = found.walk(0, steps=(-2, 0, 2))
    assert abs(walk[2].mean() - walk[0].mean()) > 20
    assert np.abs(walk[1] - found.mean).max() <= 0.5
    with pytest.raises(ValueError, match="component must be 0 to 2"):
        found.walk(3)
    with pytest.raises(ValueError, match="min_faces is 22"):
        fs.composites.eigenfaces(faces, crops, n_components=20)


def test_eigenfaces_keep_their_filter(faces: pl.DataFrame, crops: Path):
    women = fs.composites.eigenfaces(faces, crops, n_components=2, side=32, where={"gender": "female"})
    assert women.n == 10
    assert women.settings["where"] == "gender = female"
    with pytest.raises(ValueError, match="5 rows fulfil all conditions, but 10 are needed"):
        fs.composites.eigenfaces(faces, crops, n_components=8, where={"age": (None, 24)})


@pytest.fixture(scope="module")
def results(faces: pl.DataFrame, crops: Path) -> dict:
    pair = {"by": "gender", "groups": ("female", "male"), "n_permutations": 19, "seed": 0}
    return {
        "women": average_faces(faces, crops, where={"gender": "female"}),
        "difference": fs.composites.difference(faces.head(19), crops, **pair),
        "eigenfaces": fs.composites.eigenfaces(faces, crops, n_components=3, side=48),
    }


def test_everything_made_of_faces_names_them_in_table_and_png(
    results: dict, faces: pl.DataFrame, tmp_path: Path
):
    table = fs.tables.check_table(fs.composites.tabulate(results), COMPOSITES)
    assert table["composite"].to_list() == list(results)
    assert table["method"].to_list() == ["mean", "difference", "eigenfaces"]
    assert table["n"].to_list() == [10, 19, 20]
    for row in table.iter_rows(named=True):
        told = fs.composites.read(results[row["composite"]].save(tmp_path / f"{row['composite']}.png"))
        assert told["members"] == row["members"]
        assert set(row["members"]) <= set(faces["image_id"])
        assert told["weights"] == row["weights"]
        assert told["settings"] == json.loads(row["settings"])
        assert len(row["members"]) == len(row["weights"]) == row["n"] == told["n"]
    empty = fs.tables.check_table(fs.composites.tabulate({}), COMPOSITES)
    assert empty.is_empty()
    assert empty.schema == table.schema


def test_a_difference_weighs_its_members_so_that_they_make_it(
    results: dict, faces: pl.DataFrame, crops: Path
):
    found = results["difference"]
    genders = dict(faces.select("image_id", "gender").iter_rows())
    assert [genders[m] for m in found.members] == ["female"] * 10 + ["male"] * 9
    assert found.settings["where"] == "gender = female minus gender = male"
    assert sum(found.weights[:10]) == pytest.approx(1)
    assert sum(found.weights[10:]) == pytest.approx(-1)
    pixels = np.asarray(found.image).astype(float)
    assert np.abs(pixels - 128 - found.difference).max() <= 0.5
    light = dict(
        zip(faces["image_id"], (Image.open(crops / c).convert("L") for c in faces["crop"]), strict=True)
    )
    total = sum(w * np.asarray(light[m]).mean() for m, w in zip(found.members, found.weights, strict=True))
    assert found.difference.mean() == pytest.approx(total, abs=1)


def test_eigenfaces_as_a_picture_are_their_walks(results: dict):
    found = results["eigenfaces"]
    sheet = np.asarray(found.image)
    assert sheet.shape == (3 * 48, 5 * 48, 3)
    assert np.array_equal(sheet[48:96, 2 * 48 : 3 * 48], found.walk(1, steps=(0,))[0])
    assert np.array_equal(sheet[:48, -48:], found.walk(0, steps=(3,))[0])


def test_groups_are_named_by_size_and_small_ones_said(
    faces: pl.DataFrame, capsys: pytest.CaptureFixture[str]
):
    rows = faces.head(17)
    assert fs.composites.groups(rows, "gender") == {
        "gender female": {"gender": "female"},
        "gender male": {"gender": "male"},
    }
    assert capsys.readouterr().out == ""
    assert fs.composites.groups(rows, "gender", min_faces=9) == {"gender female": {"gender": "female"}}
    said = capsys.readouterr().out
    assert "1 of 2 groups of gender have fewer than 9 faces and are left out (male: 8)" in said
    gaps = rows.with_columns(gender=pl.lit(None, dtype=pl.String))
    assert fs.composites.groups(gaps, "gender", min_faces=9) == {}
    assert "0 of 0 groups of gender" in capsys.readouterr().out
    with pytest.raises(TableError, match="mood"):
        fs.composites.groups(rows, "mood")


@given(st.lists(st.sampled_from(["a", "b", "c", None]), max_size=30), st.integers(1, 6))
def test_every_group_listed_can_be_selected(values: list, least: int):
    table = pl.DataFrame(
        {"image_id": [str(i) for i in range(len(values))], "g": pl.Series(values, dtype=pl.String)}
    )
    sizes = [
        fs.composites.select(table, min_faces=least, **rule).height
        for rule in fs.composites.groups(table, "g", min_faces=least).values()
    ]
    assert sizes == sorted((n for v in "abc" if (n := values.count(v)) >= least), reverse=True)


@needs_london
@pytest.mark.slow
def test_london_women_are_sharp(portraits: tuple[Path, pl.DataFrame]):
    with (LONDON / "info.csv").open(newline="") as file:
        women = sorted(row["face_id"] for row in csv.DictReader(file) if row["face_gender"] == "female")[:20]
    folder, everyone = portraits
    faces = everyone.filter(pl.col("image_id").is_in([f"{face}_03.jpg" for face in women]))
    crops = Store(folder).crops_dir
    mean, warped = (average_faces(faces, crops, method=m) for m in ("mean", "warp"))
    assert mean.n == warped.n == 20
    assert fs.composites.sharpness_ratio(warped, mean) > 1.4
