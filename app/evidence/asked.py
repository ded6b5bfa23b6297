"""For whom a pack is, and what of an incident it may hold. Pure: the rules of who sees what stand here alone."""

from __future__ import annotations

import re
from enum import StrEnum

import msgspec

from app.core.errors import Flaw, Invalid

_NAME_OF_KEY = re.compile(r"^(key:\S+) \(.*\)$", re.DOTALL)


class For(StrEnum):
    """`police`: all; `insurer`: devices and their value; `partner`: what one partner was told; `customs`: devices,
    pallets and movements."""

    POLICE = "police"
    INSURER = "insurer"
    PARTNER = "partner"
    CUSTOMS = "customs"


class Asked(msgspec.Struct, frozen=True):
    """Which pack: of an incident, for whom, of one `partner`, or of one owner's devices (null: of all)."""

    incident: int
    to: For
    partner: int | None = None
    owner: str | None = None

    @property
    def is_whole(self) -> bool:
        """Whether every identifier of the incident is in it, whoever owns it."""
        return self.owner is None and self.to is not For.PARTNER

    @property
    def values(self) -> bool:
        return self.to in (For.POLICE, For.INSURER)

    @property
    def goods(self) -> bool:
        """Whether it says of what model the devices are, where they stood and whose they are."""
        return self.to is not For.PARTNER

    @property
    def deliveries(self) -> bool:
        return self.to in (For.POLICE, For.PARTNER)

    @property
    def movements(self) -> bool:
        return self.to in (For.POLICE, For.CUSTOMS)

    @property
    def sightings(self) -> bool:
        return self.to is For.POLICE

    @property
    def words(self) -> bool:
        """Whether what people and partners have written freely is told: it may name any device and any owner."""
        return self.owner is None

    @property
    def decisions(self) -> bool:
        """Whether titles and reasons of the incident are told. A partner has been told neither."""
        return self.words and self.to is not For.PARTNER

    def shows(self, kind: str) -> bool:
        """Whether the text of such an entry stands in it; of the others its hash and proof do."""
        if kind == "delivery.attempted":
            return self.words and self.deliveries
        return self.decisions

    def who(self, label: str | None) -> str:
        """An actor as he is named in it: a key's name may be that of another owner."""
        return _NAME_OF_KEY.sub(r"\1", label or "") if not self.decisions else label or ""


def checked(asked: Asked) -> Asked:
    """Raises Invalid where `partner` is missing, or has nothing to do with it."""
    if (asked.to is For.PARTNER) != (asked.partner is not None):
        text = (
            "A pack for a partner wants the number of the partner (partner=…)."
            if asked.to is For.PARTNER
            else f"A pack for {asked.to} is of all partners or of none; partner=… goes with for=partner."
        )
        raise Invalid(text, "evidence-partner", (Flaw(text, "partner", "evidence-partner"),))
    return asked
