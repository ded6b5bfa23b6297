"""The words of the Core Business Vocabulary 2.0 that events carry, brought to their bare form.

A word comes bare (`receiving`), as a web URI (`https://ref.gs1.org/cbv/BizStep-receiving`), as a URN
(`urn:epcglobal:cbv:bizstep:receiving`) or as a CURIE (`cbv:BizStep-receiving`). A URI of another vocabulary is
its own word.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from app.epcis.identity import is_uri

_STANDARD = re.compile(
    r"(?:https?://ref\.gs1\.org/cbv/|cbv:)([A-Za-z]+)-(\w+)\Z|urn:epcglobal:cbv:([a-z]+):(\w+)\Z"
)


class Vocabulary(NamedTuple):
    """One list of words, and what stands before them in web URIs and in URNs."""

    noun: str
    web: str
    urn: str
    words: frozenset[str]


_STEPS = """
    accepting arriving assembling collecting commissioning consigning creating_class_instance cycle_counting
    decommissioning departing destroying disassembling dispensing encoding entering_exiting holding inspecting
    installing killing loading other packing picking receiving removing repackaging repairing replacing reserving
    retail_selling sampling sensor_reporting shipping staging_outbound stock_taking stocking storing transporting
    unloading unpacking void_shipping
"""
_DISPOSITIONS = """
    active available completeness_inferred completeness_verified conformant container_closed container_open
    damaged destroyed dispensed disposed encoded expired in_progress in_transit inactive mismatch_class
    mismatch_instance mismatch_quantity needs_replacement no_pedigree_match non_conformant non_sellable_other
    partially_dispensed recalled reserved retail_sold returned sellable_accessible sellable_not_accessible stolen
    unavailable unknown
"""
STEPS = Vocabulary("business step", "BizStep", "bizstep", frozenset(_STEPS.split()))
DISPOSITIONS = Vocabulary("disposition", "Disp", "disp", frozenset(_DISPOSITIONS.split()))
REASONS = Vocabulary("error reason", "ER", "er", frozenset(("did_not_occur", "incorrect_data")))


def word(value: str, vocabulary: Vocabulary) -> str | None:
    """The word in its bare form, or the URI of another vocabulary as it came; None for what is neither."""
    standard = _STANDARD.match(value)
    if standard:
        kind, bare = standard[1] or standard[3], standard[2] or standard[4]
        right = vocabulary.web if standard[1] else vocabulary.urn
        return bare if kind == right and bare in vocabulary.words else None
    if value in vocabulary.words:
        return value
    claims = value.startswith(("urn:epcglobal:cbv:", "https://ref.gs1.org/cbv/", "http://ref.gs1.org/cbv/"))
    return value if is_uri(value) and not claims else None
