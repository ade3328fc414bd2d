"""The probes that notebook 03 promoted, for pictures that are not in the collection."""

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
    from facestats.core.attribute_settings import AttributeSettings

log = logging.getLogger(__name__)


def load_promoted(file: Path, encoder: str, attributes: Mapping[str, AttributeSettings]) -> Probes | None:
    """Read the promoted probes: those that label better than the prompts.

    Parameters
    ----------
    file
        File in which notebook 03 keeps its probes.
    encoder
        Name of the encoder whose vectors are to be labelled.
    attributes
        ``cfg.attributes``.

    Returns
    -------
    Probes that treat every picture as new; None if none is promoted. If they do not fit the encoder or the options,
    None is returned with a warning; notebook 03 fits new ones.
    """
    if not file.is_file():
        return None
    try:
        probes = fs.attributes.load_probes(file, encoder)
    except ModelError as error:
        log.warning("probes are not used, only the prompts label: %s", error)
        return None
    for name, probe in probes.promoted.items():
        options = attributes[name].options if name in attributes else ()
        if probe.options != tuple(options):
            log.warning(
                "%s: probes are not used, only the prompts label: the probe of %r knows the options %s, the"
                " configuration has %s. Run notebooks/03_attributes.ipynb again.",
                file,
                name,
                list(probe.options),
                list(options),
            )
            return None
    # held-out answers belong to image ids of the collection; here the same id may be another picture
    known = {n: replace(p, members=(), held_out=p.held_out[:0]) for n, p in probes.promoted.items()}
    return replace(probes, fitted=known) if known else None
