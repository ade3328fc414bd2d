"""The map of the project: what each table is made from, and what each package imports."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facestats.plots.style import COLORS, new_axes

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.axes import Axes


def data_flow(tables: pl.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw each table as a box, to the right of the tables it is made from.

    Parameters
    ----------
    tables
        Table of ``fs.schematics.list_tables``.
    ax
        Axes to draw on; by default a new figure.

    Returns
    -------
    The Axes: a box per table, green if it is fresh, and an arrow from each table to those made from it.

    Examples
    --------
    >>> import facestats as fs
    >>> project = fs.testing.example_project()
    >>> ax = fs.plots.data_flow(fs.schematics.list_tables(project.store))
    >>> any(text.get_text().startswith("master") for text in ax.texts)
    True
    """
    ax = new_axes(ax, height=3.6, width=10)
    reads = dict(zip(tables["table"], tables["reads"].to_list(), strict=True))
    depth: dict[str, int] = {}
    for name, sources in reads.items():  # tables come in the order in which they are made
        depth[name] = 1 + max((depth[s] for s in sources), default=0)
    columns = {d: [n for n in depth if depth[n] == d] for d in sorted(set(depth.values()))}
    place = {
        n: (d * 2.1, -(i - (len(names) - 1) / 2) * 1.1)
        for d, names in columns.items()
        for i, n in enumerate(names)
    }
    place["raw pictures"] = (0.0, 0.0)
    for name, sources in reads.items():
        for source in sources or ["raw pictures"]:
            _arrow(ax, place[source], place[name])
    states = dict(zip(tables["table"], zip(tables["rows"], tables["state"], strict=True), strict=True))
    for name, (x, y) in place.items():
        rows, state = states.get(name, (None, "fresh"))
        text = name if rows is None else f"{name}\n{rows:,} rows, {state}"
        edge = "0.6" if state == "missing" else COLORS[2 if state == "fresh" else 1]
        box = {"boxstyle": "round,pad=0.45", "facecolor": "white", "edgecolor": edge, "linewidth": 1.6}
        ax.text(x, y, text, ha="center", va="center", fontsize=9, bbox=box, zorder=3)
    xs, ys = zip(*place.values(), strict=True)
    ax.set(xlim=(min(xs) - 0.8, max(xs) + 0.8), ylim=(min(ys) - 0.7, max(ys) + 0.7))
    ax.set_axis_off()
    return ax


def module_map(modules: pl.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw which package imports which: packages in rows, what they import in columns.

    Parameters
    ----------
    modules
        Table of ``fs.schematics.list_modules``.
    ax
        Axes to draw on; by default a new figure.

    Returns
    -------
    The Axes: a dot for each package that imports another; the larger the dot, the more imports.

    Examples
    --------
    >>> import facestats as fs
    >>> ax = fs.plots.module_map(fs.schematics.list_modules())
    >>> ax.get_xlabel()
    'imports from'
    """
    ax = new_axes(ax, height=5, width=8)
    above = ("surfaces", "testing", "plots", "audit")
    below = ("models", "demo", "human_labels", "store", "inputs", "pictures", "core")
    rest = sorted({m for m in modules["module"] if "." not in m} - {*above, *below})
    names = [*above, *rest, *below]  # in the order of the layers: imports go to the right of the diagonal
    counts = np.zeros((len(names), len(names)), dtype=int)
    for module, imports in zip(modules["module"], modules["imports"].to_list(), strict=True):
        for other in imports:
            row, column = module.split(".")[0], other.split(".")[0]
            if row != column and row in names and column in names:
                counts[names.index(row), names.index(column)] += 1
    rows, columns = np.nonzero(counts)
    ax.scatter(columns, rows, s=30 + 12 * np.minimum(counts[rows, columns], 20), color=COLORS[0])
    ax.set_xticks(range(len(names)), names, rotation=40, ha="right")
    ax.set_yticks(range(len(names)), names)
    ax.set(xlim=(-0.6, len(names) - 0.4), ylim=(len(names) - 0.4, -0.6), xlabel="imports from", title="")
    ax.grid(visible=True, color="0.92")
    ax.set_axisbelow(True)
    return ax


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    style = {
        "arrowstyle": "-|>",
        "color": "0.55",
        "shrinkA": 34,
        "shrinkB": 36,
        "connectionstyle": "arc3,rad=0.08",
    }
    ax.annotate("", xy=end, xytext=start, arrowprops=style)
