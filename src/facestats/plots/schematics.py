"""The map of the project: what each table is made from, and what each package imports."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path

from facestats.plots.style import COLORS, as_written, new_axes

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.axes import Axes

RAW, RAW_TEXT = "raw pictures", "raw pictures\nand captions"
PITCH, WIDE, HIGH, PAD = 2.1, 1.7, 0.72, 0.08  # of the boxes: from column to column, width, height, rounding


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
    reads = {n: r or [RAW] for n, r in zip(tables["table"], tables["reads"].to_list(), strict=True)}
    place, lanes = _places(reads)
    ys = [y for _, y in (*place.values(), *lanes.values())]
    ax = new_axes(ax, height=0.8 * (max(ys) - min(ys) + 1.2), width=10)
    for name, sources in reads.items():
        for source in sources:
            first, last = (place[n][0] for n in (source, name))
            between = [lanes[source, d] for d in range(first + 1, last)]
            _arrow(ax, [place[source], *between, place[name]])
    states = dict(zip(tables["table"], zip(tables["rows"], tables["state"], strict=True), strict=True))
    for name, (column, y) in place.items():
        rows, state = states.get(name, (None, "fresh"))
        text = RAW_TEXT if rows is None else f"{name}\n{rows:,} rows, {state}"
        edge = "0.6" if state == "missing" else COLORS[2 if state == "fresh" else 1]
        corner = (column * PITCH - WIDE / 2 + PAD, y - HIGH / 2 + PAD)
        look = {"boxstyle": f"round,pad={PAD}", "facecolor": "white", "edgecolor": edge, "linewidth": 1.6}
        ax.add_patch(FancyBboxPatch(corner, WIDE - 2 * PAD, HIGH - 2 * PAD, label=name, zorder=3, **look))
        ax.text(column * PITCH, y, text, ha="center", va="center", fontsize=9, zorder=4)
    xs = [column * PITCH for column, _ in place.values()]
    ax.set(xlim=(min(xs) - 0.95, max(xs) + 0.95), ylim=(min(ys) - 0.6, max(ys) + 0.6))
    ax.set_axis_off()
    return as_written(ax)


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
    return as_written(ax)


def _places(
    reads: dict[str, list[str]],
) -> tuple[dict[str, tuple[int, float]], dict[tuple[str, int], tuple[int, float]]]:
    """Return column and height of each box, and of each lane: where the arrows of a box pass a column of others."""
    depth = {RAW: 0}
    for name, sources in reads.items():  # tables come in the order in which they are made
        depth[name] = 1 + max(depth[source] for source in sources)
    far = {source: max([depth[n] for n in reads if source in reads[n]], default=0) for source in depth}
    height: dict[tuple[str, int], float] = {}
    for d in range(max(depth.values()) + 1):
        boxes = [n for n in depth if depth[n] == d]
        passing = [n for n in depth if depth[n] < d < far[n]]
        wanted = {n: float(np.mean([height[s, d - 1] for s in reads.get(n, [])] or [0.0])) for n in boxes}
        wanted |= {n: height[n, d - 1] for n in passing}
        order = sorted(wanted, key=lambda n: -wanted[n])
        sizes = np.array([1.0 if n in boxes else 0.6 for n in order])
        ends = sizes.cumsum()
        for n, y in zip(order, sizes.sum() / 2 - (ends - sizes / 2), strict=True):
            height[n, d] = float(y)
    place = {n: (d, height[n, d]) for n, d in depth.items()}
    lanes = {(n, d): (d, y) for (n, d), y in height.items() if d != depth[n]}
    return place, lanes


def _arrow(ax: Axes, points: list[tuple[int, float]]) -> None:
    """Draw an arrow from box to box that bends only between the columns, so that no box covers it."""
    (column, y), *rest = points
    x = column * PITCH + WIDE / 2
    vertices, codes = [(x, y)], [Path.MOVETO]
    for column, y_next in rest:
        left = column * PITCH - WIDE / 2
        middle = (x + left) / 2
        vertices += [(middle, y), (middle, y_next), (left, y_next)]
        codes += [Path.CURVE4] * 3
        x, y = column * PITCH + WIDE / 2, y_next
        if column != points[-1][0]:
            vertices.append((x, y))
            codes.append(Path.LINETO)
    style = {"arrowstyle": "-|>", "mutation_scale": 11, "color": "0.55", "shrinkA": 0, "shrinkB": 0}
    ax.add_patch(FancyArrowPatch(path=Path(vertices, codes), zorder=1, **style))
