"""Whether a checkpoint is signed (C2SP tlog-witness): if its log has signed it, and the last one grew into it."""

from __future__ import annotations

import base64
import binascii
import re
from typing import NamedTuple

from app.audit import checkpoint, note, proof
from app.audit.checkpoint import Head
from app.audit.merkle import EMPTY_ROOT
from app.audit.note import Note
from app.core.errors import Invalid
from app.witness.memory import Memory

MOST_PROOF = 63
SIZE = "text/x.tlog.size"
_OLD = re.compile(r"old (0|[1-9][0-9]{0,17})")


class Said(NamedTuple):
    """What the witness answers: an HTTP status, a text, and its media type."""

    status: int
    text: str
    media_type: str = "text/plain"


class Question(NamedTuple):
    """A request: the size that the log takes for the last one signed, the proof from there, and the checkpoint."""

    old: int
    path: list[bytes]
    written: str


def add(memory: Memory, body: bytes, at: int) -> Said:
    """Answers the body of an add-checkpoint at a POSIX time. What was signed is on disk when this returns."""
    try:
        asked = read(body)
        head = checkpoint.read(note.read(asked.written).text)
    except Invalid as error:
        return Said(400, f"{error.detail}\n")
    known = memory.known(head.origin)
    if not known:
        return Said(404, "This witness does not know that log.\n")
    try:
        opened, good = note.opened(asked.written, known)
    except Invalid as error:
        return Said(403, f"{error.detail}\n")
    if refused := _refused(memory.last(head.origin), head, asked):
        return refused
    signature = memory.signer.sign(opened.text, at)
    memory.keep(head.origin, Note(opened.text, (*good.values(), signature)).written())
    return Said(200, signature.line())


def _refused(last: Head, head: Head, asked: Question) -> Said | None:
    if asked.old > head.size:
        return Said(400, f"The old size is {asked.old}, and the checkpoint has {head.size} leaves.\n")
    if asked.old != last.size:
        return Said(409, f"{last.size}\n", SIZE)
    if not head.size and head.root != EMPTY_ROOT:
        return Said(422, "The tree hash of an empty log is another.\n")
    if not proof.is_consistent(last.size, last.root, head.size, head.root, asked.path):
        return Said(
            422, f"The log did not grow from the {last.size} leaves that were signed here into this one.\n"
        )
    return None


def read(body: bytes) -> Question:
    """The parts of a request. Raises Invalid."""
    top, _, written = body.decode("utf-8", "replace").partition("\n\n")
    old, *lines = top.split("\n")
    match, path = _OLD.fullmatch(old), [_hash(line) for line in lines]
    if match is None or len(path) > MOST_PROOF or not written:
        raise Invalid("It would be 'old <size>', at most 63 lines of proof, an empty line, and a checkpoint.")
    return Question(int(match[1]), path, written)


def _hash(line: str) -> bytes:
    try:
        found = base64.b64decode(line, validate=True)
    except (binascii.Error, ValueError):
        found = b""
    if len(found) != 32:
        raise Invalid("A line of the proof would be the base64 of 32 bytes.")
    return found
