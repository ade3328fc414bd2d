"""The maps of the project show every table and every package."""

import numpy as np
import polars as pl

import facestats as fs
from facestats import plots


def test_tables_stand_to_the_right_of_what_they_are_made_from():
    tables = pl.DataFrame(
        {
            "table": ["faces", "master"],
            "reads": [[], ["faces"]],
            "rows": [3, 0],
            "state": ["fresh", "missing"],
        },
        schema_overrides={"reads": pl.List(pl.String)},
    )
    places = {t.get_text().partition("\n")[0]: t.get_position()[0] for t in plots.data_flow(tables).texts}
    assert places["raw pictures"] < places["faces"] < places["master"]


def test_packages_come_in_the_order_of_their_layers():
    ax = plots.module_map(fs.schematics.list_modules())
    names = [t.get_text() for t in ax.get_yticklabels()]
    assert names[0] == "surfaces"
    assert names[-1] == "core"
    assert {"faces", "composites", "audit", "human_labels"} <= set(names)
    columns, rows = np.asarray(ax.collections[0].get_offsets()).T
    assert (columns > rows).mean() > 0.9, "what imports is above what it imports"
