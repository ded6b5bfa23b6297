"""The keys that the log's checkpoints are signed with, as the settings name them. Never logs or shows a private one."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from app.audit import note
from app.audit.note import PRIVATE, Kind, Signer, Verifier
from app.core import private
from app.core.config import Settings
from app.core.errors import Invalid
from app.core.imei import shown

SETTING, FILE_SETTING = "IMEI_GATEWAY_AUDIT_KEY", "IMEI_GATEWAY_AUDIT_KEY_FILE"
_SIZE = 32


class Signing:
    """Who signs now, and everybody who ever did. The first signer's name is that of the log."""

    def __init__(self, signers: Sequence[Signer], former: Sequence[Verifier]) -> None:
        self.signers = tuple(signers)
        self.known = (*(one.verifier for one in signers), *former)

    @property
    def origin(self) -> str | None:
        """The log's name; None where nobody signs it."""
        return self.signers[0].verifier.name if self.signers else None


def load(settings: Settings) -> Signing:
    """The keys of the settings: a private one, which signs, or the public one of a key that has, on each line. Raises
    Invalid."""
    if settings.audit_key and settings.audit_key_file:
        raise Invalid(f"{SETTING} and {FILE_SETTING} are both set; it would be one of them.")
    text = (
        private.read(Path(settings.audit_key_file), FILE_SETTING)
        if settings.audit_key_file
        else settings.audit_key
    )
    lines = [line.strip() for line in text.replace(",", "\n").splitlines() if line.strip()]
    signers = [note.signer(line) for line in lines if line.startswith(PRIVATE)]
    former = [note.verifier(line) for line in lines if not line.startswith(PRIVATE)]
    found = Signing(signers, former)
    strangers = {
        one.name for one in found.known if one.kind is not Kind.NOTE or one.name != found.known[0].name
    }
    if strangers:
        raise Invalid(
            f"The keys of {SETTING} or {FILE_SETTING} would be of one log and bear one name; {', '.join(strangers)} is"
            " another, or a witness.",
            "signing-key-wrong",
        )
    return found


class Witness(NamedTuple):
    """Somebody elsewhere who signs our checkpoints, and where he is asked."""

    verifier: Verifier
    url: str


def witnesses(settings: Settings) -> list[Witness]:
    """The witnesses of the settings: a key and an address each. Raises Invalid."""
    found = []
    for text in filter(None, map(str.strip, re.split(r"[,\n]", settings.witnesses))):
        key, _, url = text.partition(" ")
        one = Witness(note.verifier(key), url.strip().rstrip("/"))
        if one.verifier.kind is not Kind.COSIGNATURE or not one.url.startswith(("http://", "https://")):
            raise Invalid(
                "IMEI_GATEWAY_WITNESSES would be the key of a witness, a space and its address, and a comma before the"
                f" next one; '{shown(text)}' is not that.",
                "witness-wrong",
            )
        found.append(one)
    return found


def new(name: str, kind: Kind, random: Callable[[int], bytes]) -> Signer:
    """A fresh key. Raises Invalid for what can be no name."""
    return Signer(name, kind, random(_SIZE))
