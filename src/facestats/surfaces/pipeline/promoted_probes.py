"""The probes that notebook 03 promoted, for pictures from outside the collection."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

import facestats as fs
from facestats.core.protocols import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from facestats.attributes.probes import Probes
    from facestats.core.config import AttributeSettings

log = logging.getLogger(__name__)


def load_promoted(file: Path, encoder: str, attributes: Mapping[str, AttributeSettings]) -> Probes | None:
    """Read the probes that label better than the prompts.

    Parameters
    ----------
    file
        Where notebook 03 keeps its probes.
    encoder
        Name of the encoder whose vectors they shall label.
    attributes
        ``cfg.attributes``.

    Returns
    -------
    Probes that know no picture by its name; None where none is promoted. Those that do not fit the encoder or the
    options are left out with a warning: notebook 03 would fit them anew.
    """
    if not file.is_file():
        return None
    try:
        probes = fs.attributes.load_probes(file, encoder)
    except ModelError as error:
        log.warning("probes are left out, the prompts label alone: %s", error)
        return None
    for name, probe in probes.promoted.items():
        options = attributes[name].options if name in attributes else ()
        if probe.options != tuple(options):
            log.warning(
                "%s: probes are left out, the prompts label alone: that of %r knows the options %s, the configuration"
                " has %s. Run notebooks/03_attributes.ipynb again.",
                file,
                name,
                list(probe.options),
                list(options),
            )
            return None
    # held-out answers belong to names of the collection, which mean nothing here
    known = {n: replace(p, members=(), held_out=p.held_out[:0]) for n, p in probes.promoted.items()}
    return replace(probes, fitted=known) if known else None
