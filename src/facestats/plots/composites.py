"""Average faces, how much their members vary, and where groups differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from facestats.composites.results import ALPHA
from facestats.plots.fitting import wrap_text
from facestats.plots.style import DIVERGING, SEQUENTIAL, TEXT, WIDTH, draw_nothing, finish_picture, new_axes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from facestats.composites.results import Composite, Eigenfaces, GroupDifference

INCHES = 1.75  # side of a face in eigenface_walk
MOST_INCHES = 3.4  # largest side of a face in composite_grid
GAP = 0.03  # share of the side of a face


def composite_grid(
    composites: Mapping[str, Composite],
    *,
    n_columns: int = 4,
    layer: Literal["image", "sd"] = "image",
    ax: Axes | None = None,
) -> Axes:
    """Draw average faces side by side, each with its method, its number of faces and its filter.

    Parameters
    ----------
    composites
        Title and composite; all of one crop size.
    n_columns
        Faces per row.
    layer
        ``image`` shows the average faces, ``sd`` where their members vary (with one scale for all).
    ax
        Axes to draw on; by default a new figure.

    Returns
    -------
    The Axes: the faces as one picture, with a caption below each; without composites, a line of text.

    Examples
    --------
    >>> import facestats as fs
    >>> project = fs.testing.example_project()
    >>> face = fs.average_faces(project.faces, project.crops_dir)
    >>> ax = fs.plots.composite_grid({"everyone": face})
    >>> ax.texts[0].get_text().splitlines()[:2]
    ['everyone', 'mean, n = 12']
    """
    if not composites:
        return draw_nothing(ax, "no average faces: no group is large enough")
    texts = [f"{title}\n{c.caption}" for title, c in composites.items()]
    pictures = [c.pixels if layer == "image" else c.sd for c in composites.values()]
    if len({p.shape for p in pictures}) > 1:
        msg = (
            f"the composites differ in size: {sorted({p.shape[:2] for p in pictures})}."
            " Draw those of one size at a time."
        )
        raise ValueError(msg)
    inches = min(MOST_INCHES, WIDTH / min(n_columns, len(pictures)))  # a few faces are drawn larger
    texts = [wrap_text(text, points=72 * inches * 0.98, size=TEXT - 1, n_lines=8) for text in texts]
    return _grid(pictures, texts, n_columns=n_columns, inches=inches, ax=ax)


def difference_map(
    difference: GroupDifference,
    *,
    unit: Literal["grey levels", "sd"] = "grey levels",
    masked: bool = True,
    ax: Axes | None = None,
) -> Axes:
    """Draw where two groups differ in mean lightness, with an outline around significant differences.

    Parameters
    ----------
    difference
        Result of :func:`facestats.composites.difference`.
    unit
        ``grey levels``, or ``sd``: the effect size, in standard deviations of the faces (Hedges' g).
    masked
        Whether to draw pixels without a significant difference in pale colors.
    ax
        Axes to draw on; by default a new figure.

    Returns
    -------
    The Axes: the difference as a picture with a color bar; the title names both groups and their sizes.

    Examples
    --------
    >>> import facestats as fs
    >>> project = fs.testing.example_project()
    >>> table = project.faces.join(project.truth, on="image_id")
    >>> difference = fs.composites.difference(
    ...     table, project.crops_dir, by="true_age", groups=("child", "elderly"), method="mean",
    ...     n_resamples=20, min_faces=6,
    ... )
    >>> ax = fs.plots.difference_map(difference)
    >>> ax.get_title(loc="left")
    'child (n = 6) minus elderly (n = 6)'
    """
    ax = new_axes(ax, height=4.2, width=5.2)
    values, smallest = (
        (difference.difference, 1.0) if unit == "grey levels" else (difference.effect_size, 0.1)
    )
    limit = max(float(np.abs(values).max()), smallest)
    alpha = np.where(difference.significant, 1.0, 0.35) if masked else None
    image = ax.imshow(values, cmap=DIVERGING, vmin=-limit, vmax=limit, alpha=alpha)
    if difference.significant.any():
        ax.contour(difference.significant, levels=[0.5], colors="black", linewidths=0.7)
    (first, second), (n_first, n_second) = difference.names, difference.counts
    ax.figure.colorbar(
        image, ax=ax, label=f"lighter in {second}  <  {unit}  >  lighter in {first}", shrink=0.9
    )
    share = float(difference.significant.mean())
    outlined = "<1%" if 0 < share < 0.005 else f"{share:.0%}"
    title = f"{first} (n = {n_first:,}) minus {second} (n = {n_second:,})"
    note = f"outlined: {outlined} of pixels, max-t wild bootstrap, corrected p <= {ALPHA:g}"
    finish_picture(ax, title=title)
    ax.set_xlabel(note, fontsize=TEXT)
    return ax


def eigenface_walk(
    faces: Eigenfaces,
    *,
    n_components: int = 4,
    steps: Sequence[float] = (-3, -1.5, 0, 1.5, 3),
    ax: Axes | None = None,
) -> Axes:
    """Draw the mean face moved along each of the strongest components, one row per component.

    Parameters
    ----------
    faces
        Result of :func:`facestats.composites.eigenfaces`.
    n_components
        Highest number of rows.
    steps
        Distances from the mean, in standard deviations of the component.
    ax
        Axes to draw on; by default a new figure.

    Returns
    -------
    The Axes: the faces as one picture; each row is labelled with its share of the variance.

    Examples
    --------
    >>> import facestats as fs
    >>> project = fs.testing.example_project()
    >>> faces = fs.composites.eigenfaces(project.faces, project.crops_dir, n_components=2, method="mean", side=32)
    >>> ax = fs.plots.eigenface_walk(faces, n_components=2, steps=(-2, 0, 2))
    >>> [text.get_text() for text in ax.texts[:3]]
    ['-2 SD', 'mean', '+2 SD']
    """
    shown = range(min(n_components, len(faces.sd)))
    rows = [faces.walk(i, steps=tuple(steps)) for i in shown]
    texts = [f"{step:+g} SD" if step else "mean" for step in steps] * len(rows)
    side = rows[0].shape[1]
    across, down = len(steps) * (1 + GAP), len(rows) * _pitch(side, 1, INCHES) / side
    ax = new_axes(
        ax, height=INCHES * down + 0.4, width=INCHES * across + 1.4
    )  # space for the labels of the rows
    ax = _grid(
        [picture for row in rows for picture in row], texts, n_columns=len(steps), inches=INCHES, ax=ax
    )
    for i in shown:
        label = f"component {i}\n{faces.explained[i]:.1%}"
        ax.text(
            -0.05 * side, (i + 0.5) * _pitch(side, 1, INCHES), label, ha="right", va="center", fontsize=TEXT
        )
    return finish_picture(ax, title=f"n = {len(faces.members):,}; share of variance at the left")


def _pitch(side: int, lines: int, inches: float) -> int:
    """Return the height of a face with its lines of text, in pixels of the face."""
    return round(side * (1 + GAP + lines * 1.35 * (TEXT - 1) / (72 * inches)))


def _grid(
    pictures: Sequence[NDArray], texts: Sequence[str], *, n_columns: int, inches: float, ax: Axes | None
) -> Axes:
    height, width = pictures[0].shape[:2]
    n_columns = min(n_columns, len(pictures))
    n_rows = -(-len(pictures) // n_columns)
    across, down = round(width * (1 + GAP)), _pitch(height, max(t.count("\n") + 1 for t in texts), inches)
    colored = pictures[0].ndim == 3
    sheet = np.full((n_rows * down, n_columns * across, *pictures[0].shape[2:]), 255 if colored else np.nan,
                    dtype=np.uint8 if colored else np.float32)  # fmt: skip
    ax = new_axes(
        ax, height=inches * sheet.shape[0] / height + 0.3, width=inches * sheet.shape[1] / width + 0.4
    )
    for i, (picture, text) in enumerate(zip(pictures, texts, strict=True)):
        row, column = divmod(i, n_columns)
        top, left = row * down, column * across
        sheet[top : top + height, left : left + width] = picture
        ax.text(
            left + width / 2, top + height * (1 + GAP / 2), text, ha="center", va="top", fontsize=TEXT - 1
        )
    image = ax.imshow(sheet, cmap=None if colored else SEQUENTIAL, vmin=0)
    if not colored:
        ax.figure.colorbar(image, ax=ax, label="SD over faces, grey levels", shrink=0.8)
    return finish_picture(ax)
