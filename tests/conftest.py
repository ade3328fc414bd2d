"""What several tests share: the real pictures, where they are at hand, and small checkpoints."""

import csv
import os
import shutil
import sys
from pathlib import Path

import hypothesis
import matplotlib as mpl
import pytest

ROOT = Path(__file__).parents[1]
SETTINGS = """
data_dir: {data}
attributes: {attributes}
demo: {{pictures: 40, seed: 3}}
faces: {{workers: 2}}
embeddings: {{model: "local-dir:${{package}}/demo/clip"}}
text_labels: {{model: "${{package}}/demo/bart"}}
clusters: {{n_clusters: 3}}
composites: {{min_faces: 3}}
"""
DATA = Path(os.environ.get("FACESTATS_SHARED_DATA", ROOT.parent / "shared/data"))
LONDON = DATA / "london"
mpl.use("Agg")
# The same examples in each run; HYPOTHESIS_PROFILE=explore looks for new ones, as one does before a release.
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None)
hypothesis.settings.register_profile("explore", max_examples=1000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))
sys.path.insert(0, str(ROOT / "benchmarks"))  # random_clip: the real architecture without its weights

needs_london = pytest.mark.skipif(
    not LONDON.is_dir(), reason=f"the London face set is not at {LONDON}; set FACESTATS_SHARED_DATA"
)


# Files whose tests share a costly fixture, or would be in each other's way, run in one process.
TOGETHER = {
    **dict.fromkeys(
        ("surfaces/test_doors", "test_examples", "surfaces/notebooks/test_run"), "demo"
    ),  # the fixture of that name
    **dict.fromkeys(
        ("clusters/test_cluster", "clusters/test_layout", "demo/test_truth"), "demo"
    ),  # held_out; demo has compiled UMAP
    **dict.fromkeys(
        ("test_london", "faces/test_london_portraits", "composites/test_average"), "demo"
    ),  # portraits
    **dict.fromkeys(
        (
            "surfaces/notebooks/test_label_widget_browser",
            "surfaces/notebooks/test_explore",
            "surfaces/page/test_app",
        ),
        "browser",
    ),
}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Give each process whole files, and those that belong together."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            file = nodeid.partition("::")[0].removeprefix("tests/").removesuffix(".py")
            return TOGETHER.get(file, file)

    return ByFile(config, log)


def pytest_collection_modifyitems(items):
    """Begin with what takes longest, so that no process waits for another at the end."""
    items.sort(key=lambda item: ("demo" not in item.fixturenames, item.get_closest_marker("slow") is None))


def copy_london(folder, n):
    """Copy the first `n` portraits below `folder`, with captions made from what the people said of themselves."""
    folder.mkdir(parents=True)
    with (LONDON / "info.csv").open(newline="") as file:
        people = sorted(csv.DictReader(file), key=lambda row: row["face_id"])[:n]
    with (folder / "metadata.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file_name", "text"])
        for person in people:
            name = f"{person['face_id']}_03.jpg"
            shutil.copy(LONDON / name, folder / name)
            age = f"{float(person['face_age']):.0f} year old " if person["face_age"] not in {"", "NA"} else ""
            looks = person["face_eth"].replace("_", " ")
            table.writerow(
                [name, f"A portrait of a {age}{looks} person, {person['face_gender']}, looking at us."]
            )
    return folder


def pupils(image_id):
    """Hand-placed pupils of one London portrait, (2, 2) in pixels, the left one in the picture first."""
    lines = (LONDON / image_id).with_suffix(".tem").read_text().splitlines()
    return [[float(v) for v in line.split()] for line in lines[1:3]]


@pytest.fixture(scope="session")
def demo(tmp_path_factory):
    """A project of 40 drawn characters, run from the first notebook to the last."""
    from facestats.surfaces.notebooks.run import run_notebooks

    folder = tmp_path_factory.mktemp("project")
    config = folder / "config.yaml"
    text = SETTINGS.format(data=folder / "data", attributes=ROOT / "config/attributes.yaml")
    config.write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        patch.setenv("FACESTATS_CONFIG", str(config))
        page = run_notebooks(config)
    return config, page


@pytest.fixture(scope="session")
def held_out(tmp_path_factory):
    """200 characters that no training saw, through the stages to the labels: configuration, folder, accuracies."""
    from demo_truth import score_pictures

    from facestats.core.config import load_config

    config, folder = load_config(ROOT / "config/demo.yaml"), tmp_path_factory.mktemp("held_out")
    return config, folder, score_pictures(config, folder, n=200, seed=70_001)


@pytest.fixture(scope="session")
def portraits(tmp_path_factory):
    """All London portraits, aligned by the stage as it is set by default: data folder and table."""
    import facestats as fs
    from facestats.core.config import FacesSettings

    store, mesh = fs.Store(tmp_path_factory.mktemp("portraits")), fs.models.landmarker(FacesSettings())
    images = fs.list_images(LONDON)
    faces = store.build("faces", images, fs.align_faces, landmarker=mesh, crops_dir=store.crops_dir)
    return store.data_dir, faces
