"""The maps of the project show every table and every package."""

import numpy as np
import polars as pl
from matplotlib.patches import FancyArrowPatch

import facestats as fs
from facestats import plots
from facestats.plots.schematics import HIGH, WIDE


def tables():
    return pl.DataFrame(
        {
            "table": ["faces", "embeddings", "attributes", "master"],
            "reads": [[], ["faces"], ["embeddings"], ["faces", "attributes"]],
            "rows": [3, 3, 3, 0],
            "state": ["fresh", "fresh", "stale", "missing"],
        },
        schema_overrides={"reads": pl.List(pl.String)},
    )


def test_tables_stand_to_the_right_of_what_they_are_made_from():
    drawn = plots.data_flow(tables()).texts
    places = {t.get_text().partition("\n")[0]: t.get_position()[0] for t in drawn}
    assert places["raw pictures"] < places["faces"] < places["master"]


def test_arrows_are_those_of_the_tables_end_at_boxes_and_run_behind_none():
    flow = fs.schematics.list_tables(fs.testing.example_project().store)
    ax = plots.data_flow(flow)
    middles = {t.get_text().partition("\n")[0]: np.array(t.get_position()) for t in ax.texts}
    half = np.array([WIDE / 2, HIGH / 2])
    found = set()
    for arrow in (p for p in ax.patches if isinstance(p, FancyArrowPatch)):
        (path, *_), _ = arrow._get_path_in_displaycoord()
        line = ax.transData.inverted().transform(path.cleaned(curves=False).vertices[:-1])
        ends = []
        for point, side in ((line[0], 1), (line[-1], -1)):
            (at,) = [n for n, m in middles.items() if np.abs(m + half * [side, 0] - point).max() < 0.15]
            ends.append(at)
        found.add(tuple(ends))
        for middle in middles.values():
            assert not (np.abs(line - middle) < 0.98 * half).all(axis=1).any(), ends
    reads = dict(zip(flow["table"], flow["reads"].to_list(), strict=True))
    assert found == {(s, n) for n, sources in reads.items() for s in sources or ["raw pictures"]}


def test_packages_come_in_the_order_of_their_layers():
    ax = plots.module_map(fs.schematics.list_modules())
    names = [t.get_text() for t in ax.get_yticklabels()]
    assert names[0] == "surfaces"
    assert names[-1] == "core"
    assert {"faces", "composites", "audit", "human_labels"} <= set(names)
    columns, rows = np.asarray(ax.collections[0].get_offsets()).T
    assert (columns > rows).mean() > 0.9, "what imports is above what it imports"
