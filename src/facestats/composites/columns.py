"""The columns whose groups are averaged, from a configuration."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from facestats.core.config import ConfigError
from facestats.core.tables import TRUE_PREFIX
from facestats.human_labels import read_truth
from facestats.store.fingerprint import frame_digest

if TYPE_CHECKING:
    import polars as pl

    from facestats.core.config import Config


def columns(cfg: Config) -> tuple[tuple[str, ...], ...]:
    """Return the columns whose groups are averaged, and check before anything is computed that they will exist.

    Parameters
    ----------
    cfg
        From :func:`facestats.load_config`.

    Returns
    -------
    The entries of ``composites: by:``; an entry of several columns means the groups that agree in all of them. By
    default gender, or the first attribute if there is no gender.

    Raises
    ------
    ConfigError
        If a column will not exist; the message names the nearest ones.

    Examples
    --------
    >>> import facestats as fs
    >>> fs.composites.columns(fs.load_config(demo=True))
    (('gender',),)
    """
    chosen = _chosen(cfg)
    merged = [pattern.format(a) for a in cfg.attributes for pattern in ("{}", "{}_source", "{}_conflict")]
    try:
        truth = read_truth(cfg.audit.file or cfg.raw_dir, cfg.attributes, pictures=cfg.raw_dir).columns[1:]
    except (ValueError, OSError):  # notebooks 03 and 09 need the truth and report it
        truth = [f"{TRUE_PREFIX}{a}" for a in cfg.attributes]
    offered = [*cfg.attributes, *truth, "cluster"]
    known = {*offered, *merged, "status"}
    # labels of one source, such as image_gender
    source = re.compile(rf"[a-z][a-z0-9_]*_({'|'.join(map(re.escape, cfg.attributes))})")
    names = dict.fromkeys(name for entry in chosen for name in entry)
    absent = [n for n in names if n not in known and (n.startswith(TRUE_PREFIX) or not source.fullmatch(n))]
    if not absent:
        return chosen
    listed = []
    for name in absent:
        if "," in name:
            listed.append(f"{name!r} (several columns stand in brackets: [{name}])")
            continue
        near = get_close_matches(name.casefold(), offered, n=1, cutoff=0.6)
        listed.append(f"{name!r}{f' (did you mean {near[0]!r}?)' if near else ''}")
    msg = (
        f"{cfg.config_file or 'composites.by'}: composites.by names {', '.join(listed)}, but there is no such column."
        f" Groups can be made of {', '.join(offered)}. Columns {TRUE_PREFIX}... are those of attributes whose truth"
        f" {cfg.audit.file.name if cfg.audit.file else 'metadata.csv'} gives."
    )
    raise ConfigError(msg)


def _chosen(cfg: Config) -> tuple[tuple[str, ...], ...]:
    return cfg.composites.by or (("gender" if "gender" in cfg.attributes else next(iter(cfg.attributes)),),)


def settings(cfg: Config, truth: pl.DataFrame | None = None) -> dict[str, Any]:
    """Turn a configuration into the keywords of :meth:`facestats.Store.write` for table `composites`.

    Parameters
    ----------
    cfg
        From :func:`facestats.load_config`.
    truth
        From :func:`facestats.human_labels.read_truth`; it counts if it defines groups.

    Returns
    -------
    `by`, `min_faces`, `seed` and, if truth defines groups, a hash of the truth: they decide the faces of a composite
    and are recorded with the table.

    Examples
    --------
    >>> import facestats as fs
    >>> fs.composites.settings(fs.load_config(demo=True))
    {'by': 'gender', 'min_faces': 8, 'seed': 0}
    """
    # a table of an earlier release names one column
    listed = [entry[0] if len(entry) == 1 else list(entry) for entry in _chosen(cfg)]
    by = listed[0] if len(listed) == 1 else listed
    found = {"by": by, "min_faces": cfg.composites.min_faces, "seed": cfg.seed}
    is_read = any(name.startswith(TRUE_PREFIX) for entry in _chosen(cfg) for name in entry)
    return found | ({"truth": frame_digest(truth)} if is_read and truth is not None else {})
