"""Heads of the log that were kept elsewhere: in a file, or by a witness."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import httpx

from app.audit import checkpoint, note
from app.audit.checkpoint import Head
from app.audit.note import Verifier
from app.audit.signing import Witness
from app.core.errors import Invalid, Unavailable


def kept(written: str, where: str, known: Sequence[Verifier]) -> Head:
    """The head of a checkpoint of this log. Raises Invalid, which says where it stands."""
    if not known:
        raise Invalid(
            "There is no key to check that checkpoint with: IMEI_GATEWAY_AUDIT_KEY or IMEI_GATEWAY_AUDIT_KEY_FILE would"
            " hold that of the log.",
            "audit-key-missing",
        )
    try:
        opened, _ = note.opened(written, known)
        return checkpoint.read(opened.text)
    except Invalid as error:
        raise Invalid(f"{where} is no checkpoint of this log: {error.detail}", error.code) from None


def signed_by(witness: Witness, known: Sequence[Verifier]) -> Head:
    """The newest head that a witness has signed; one of size 0 where there is none. Raises Unavailable, Invalid."""
    if not known:
        return kept("", "", known)
    name, origin = witness.verifier.name, known[0].name
    try:
        answer = httpx.get(
            f"{witness.url}/{hashlib.sha256(origin.encode()).hexdigest()}/checkpoint",
            trust_env=False,
            timeout=10,
        )
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Unavailable(
            f"The witness {name} does not answer at {witness.url} ({error}): without it nothing shows that no"
            " older copy was put in the log's place. Verify when it is back, or without it: IMEI_GATEWAY_WITNESSES=''.",
            "witness-away",
        ) from None
    if answer.status_code == 404:
        return Head(origin, 0, b"")
    note.opened(answer.text, [witness.verifier])
    return kept(answer.text, f"What the witness {name} has signed", known)
