"""The networks under LiteRT, and the second landmarker: processes, threads, odd pictures, connections."""

import multiprocessing
import os
import pickle
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from no_faces import draw_no_faces
from PIL import Image

import facestats as fs
from facestats.core.config import Config, FacesSettings
from facestats.core.protocols import ModelError
from facestats.models import expressions, facemesh, mediapipe_tasks
from facestats.models.landmarks import FaceMesh, landmarker
from facestats.models.network_files import FACEMESH, OFFICIAL, read_networks
from tests.conftest import LONDON, needs_london
from tests.models.test_network_files import BUNDLE, needs_bundle

IRISES = (slice(468, 473), slice(473, 478))


def has_tasks():
    try:
        return bool(mediapipe_tasks.installed_version())
    except ModelError:
        return False


needs_tasks = pytest.mark.skipif(not has_tasks(), reason="mediapipe 1.2 or later is not installed")
OTHERS = [
    pytest.param("official", marks=needs_bundle),
    pytest.param("mediapipe", marks=[needs_bundle, needs_tasks]),
]


def portrait(name="001_03.jpg"):
    return np.asarray(Image.open(LONDON / name))


def graph(networks=FACEMESH, path=None, **limits):
    return facemesh.Graph(
        lambda: read_networks(networks, path), **{"min_confidence": 0.5, "max_faces": 10} | limits
    )


@needs_london
def test_points_are_in_the_order_of_the_refined_mesh():
    ((points, score),) = graph().process(portrait())
    assert points.shape == (478, 3)
    assert 0.9 < score <= 1
    for iris in IRISES:
        centre, right, upper, left, lower = points[iris, :2]
        assert left[0] < centre[0] < right[0]
        assert upper[1] < centre[1] < lower[1]
        assert np.ptp(points[iris, 2]) == 0
    assert points[468, 0] < points[473, 0]


@needs_london
def test_the_mirror_image_has_the_mirrored_irises():
    picture = portrait()
    model = graph()
    ((points, _),) = model.process(picture)
    ((mirrored, _),) = model.process(np.ascontiguousarray(picture[:, ::-1]))
    back = np.column_stack([picture.shape[1] - 1 - mirrored[:, 0], mirrored[:, 1]])
    span = np.linalg.norm(points[473, :2] - points[468, :2])
    assert np.linalg.norm(back[[473, 468]] - points[[468, 473], :2], axis=1).max() < 0.02 * span


@needs_london
def test_the_limits_are_kept_and_the_best_face_comes_first():
    pair = np.hstack([portrait(), portrait("002_03.jpg")])
    both = graph().process(pair)
    assert len(both) == 2
    assert both[0][1] >= both[1][1]
    assert len(graph(max_faces=1).process(pair)) == 1
    assert graph(min_confidence=0.999).process(pair) == []


@pytest.mark.parametrize("shape", [(1, 1), (1, 700), (700, 1), (2, 3), (7, 5000), (9000, 4)])
@pytest.mark.parametrize("value", [0, 255])
def test_pictures_of_odd_shape_have_no_face(shape, value):
    assert FaceMesh().find(np.full((*shape, 3), value, dtype=np.uint8)) == []


@needs_london
def test_a_face_at_the_edge_keeps_finite_points():
    picture = portrait()
    for part in (picture[450:], picture[:, 650:], picture[:, :700], picture[:700]):
        for points, _ in graph(min_confidence=0.2).process(np.ascontiguousarray(part)):
            assert np.isfinite(points).all()


def find_in_child(pixels):
    return [face.points for face in FaceMesh().find(pixels)]


@needs_london
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_forked_process_finds_what_its_parent_finds_also_while_the_parent_searches():
    picture = portrait()
    expected = find_in_child(picture)
    is_over = threading.Event()

    def search():
        while not is_over.is_set():
            find_in_child(picture)

    thread = threading.Thread(target=search)
    thread.start()
    try:
        with multiprocessing.get_context("fork").Pool(2) as pool:
            found = pool.map_async(find_in_child, [picture] * 4).get(timeout=120)
    finally:
        is_over.set()
        thread.join()
    for points in found:
        np.testing.assert_array_equal(points, expected)


@needs_london
def test_threads_find_what_one_thread_finds():
    picture, found = portrait(), []
    expected = find_in_child(picture)
    threads = [threading.Thread(target=lambda: found.append(find_in_child(picture))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for points in found:
        np.testing.assert_array_equal(points, expected)
    assert len(found) == 4


@needs_london
@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")
def test_nothing_grows():
    """Memory, threads and files after 300 pictures are those after 30 (3,000 were tried by hand)."""
    model = FaceMesh()
    picture = portrait()[::3, ::3]
    pictures = [np.ascontiguousarray(picture[: 300 + i]) for i in range(30)]

    def used():
        me = Path("/proc/self")
        pages = int((me / "statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE"), *(len([*(me / n).iterdir()]) for n in ("task", "fd"))

    for i in range(300):
        model.find(pictures[i % 30])
        if i == 30:
            before = used()
    after = used()
    assert after[0] < before[0] + 10e6
    assert all(now <= then for now, then in zip(after[1:], before[1:], strict=True)), (before, after)


OFFLINE = """
import sys
sys.addaudithook(lambda event, _: event.startswith("socket.") and sys.exit(f"a connection: {event}"))
import numpy as np
from facestats.models.landmarks import FaceMesh
FaceMesh().find(np.zeros((64, 64, 3), np.uint8))
"""


def test_no_connection_is_opened(tmp_path):
    """Python tells of its own connections; those of libraries are seen where strace is installed."""
    log = tmp_path / "log"
    strace = ["strace", "-f", "-e", "trace=network", "-o", str(log)] if shutil.which("strace") else []
    subprocess.run([*strace, sys.executable, "-c", OFFLINE], check=True, capture_output=True)
    calls = log.read_text() if strace else ""
    assert "AF_INET" not in calls


@needs_london
@pytest.mark.parametrize("name", OTHERS)
def test_the_other_landmarkers_agree_with_the_default(name):
    picture = portrait()
    (mine,) = FaceMesh().find(picture)
    model = FaceMesh(landmarker=name, networks=BUNDLE)
    (other,) = model.find(picture)
    span = np.linalg.norm(mine.points[473] - mine.points[468])
    assert np.linalg.norm(mine.points - other.points, axis=1).mean() < 0.06 * span
    assert np.linalg.norm(mine.points - other.points, axis=1)[468:].max() < 0.03 * span
    assert other.detector in model.name
    assert pickle.loads(pickle.dumps(model)).name == model.name
    assert not any(
        model.find(pixels) for pixels in (draw_no_faces()["text"], np.zeros((1, 300, 3), np.uint8))
    )


@needs_tasks
@needs_bundle
def test_mediapipe_ends_without_a_word():
    code = (
        "import numpy as np, sys; from pathlib import Path; from facestats.models.landmarks import FaceMesh\n"
        "FaceMesh(landmarker='mediapipe', networks=Path(sys.argv[1])).find(np.zeros((64, 64, 3), np.uint8))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(BUNDLE)], capture_output=True, text=True, check=True
    )
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(has_tasks(), reason="mediapipe 1.2 or later is installed")
def test_mediapipe_that_is_missing_or_old_is_an_error_that_says_what_to_type():
    with pytest.raises(ModelError, match="pip install 'mediapipe>=1.2'"):
        FaceMesh(landmarker="mediapipe").name  # noqa: B018


@needs_london
@needs_bundle
def test_the_official_bundle_tells_the_expression():
    model = graph(OFFICIAL, BUNDLE)
    ((points, _),) = model.process(portrait())
    scores = dict(zip(expressions.NAMES, model.expressions(points), strict=True))
    assert all(0 <= score <= 1 for score in scores.values())
    assert scores["mouth_smile_left"] < 0.5, "the faces of the London set are neutral"
    assert scores["jaw_open"] < 0.1
    assert graph().expressions(points) is None


def test_an_unknown_landmarker_is_refused():
    with pytest.raises(ValueError, match="facemesh, official, mediapipe"):
        FaceMesh(landmarker="dlib")
    with pytest.raises(ModelError, match="cannot read the network 'mesh'"):
        facemesh.Graph(lambda: {"mesh": b"x"}, min_confidence=0.5, max_faces=1).process(
            np.zeros((9, 9, 3), np.uint8)
        )


def test_settings_choose_the_landmarker(tmp_path):
    attributes = fs.testing.example_project().attributes
    cfg = Config.model_validate(
        {"attributes": attributes, "faces": {"landmarker": "my/nets.task"}}, context={"folder": tmp_path}
    )
    assert (cfg.faces.landmarker, cfg.faces.networks) == ("official", tmp_path / "my/nets.task")
    model = landmarker(FacesSettings(landmarker="official"))
    assert model.name.startswith("face_landmarker ")


def test_a_table_of_another_landmarker_is_stale(tmp_path):
    """Also one that mediapipe 0.10.21 made."""
    raw = tmp_path / "raw"
    raw.mkdir()
    Image.new("RGB", (60, 50)).save(raw / "a.png")
    store, images = fs.Store(tmp_path), fs.list_images(raw)

    class Former(FaceMesh):
        name = "facemesh 0.10.21 478 refined confidence=0.5 faces=10 zooms=2,5 weights=6b9b6f8ddd0b"

    def build(model):
        options = {"landmarker": model, "crops_dir": store.crops_dir, "workers": 1}
        return store.build("faces", images, fs.align_faces, **options)

    def state(model):
        from facestats.store.fingerprint import describe_stage
        from facestats.store.status import Expected

        expected = {"faces": Expected(describe_stage(fs.align_faces, {"landmarker": model}), images)}
        return store.status(expected).filter(pl.col("table") == "faces")["state"].item()

    build(Former())
    assert state(Former()) == "fresh"
    assert state(FaceMesh()) == state(FaceMesh(landmarker="official")) == "stale"
    build(FaceMesh())
    assert state(FaceMesh()) == "fresh"
    assert FaceMesh().name in str(store.provenance("faces"))
    assert store.read("faces")["status"].to_list() == ["no_face"]
