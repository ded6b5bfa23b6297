"""Signed notes, against the published example and against what a forger would try."""

from __future__ import annotations

import base64

import pytest

from app.audit import checkpoint, note
from app.audit.checkpoint import Head
from app.audit.note import Kind, Signer
from app.core.errors import Invalid

FOO = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
PUBLISHED = (
    "This is an example message.\n"
    "\n"
    "\u2014 example.com/foo"
    " Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
)
LOG = Signer("gateway.example/audit", Kind.NOTE, bytes(range(32)))
WITNESS = Signer("witness.example/w1", Kind.COSIGNATURE, bytes(range(1, 33)))
TEXT = "gateway.example/audit\n3\n" + base64.b64encode(bytes(32)).decode() + "\n"


def test_the_published_example_is_good() -> None:
    foo = note.verifier(FOO)
    assert foo.written() == FOO
    opened, good = note.opened(PUBLISHED, [foo])
    assert opened.text == "This is an example message.\n"
    assert list(good) == [foo]
    assert opened.written() == PUBLISHED


@pytest.mark.parametrize("place", range(0, len(PUBLISHED), 7))
def test_a_note_that_was_changed_anywhere_is_refused(place: int) -> None:
    other = "x" if PUBLISHED[place] != "x" else "y"
    with pytest.raises(Invalid):
        note.opened(PUBLISHED[:place] + other + PUBLISHED[place + 1 :], [note.verifier(FOO)])


def test_a_log_and_its_witness_sign_the_same_text() -> None:
    written = note.signed(TEXT, [LOG]) + WITNESS.sign(TEXT, 1_700_000_000).line()
    opened, good = note.opened(written, [LOG.verifier, WITNESS.verifier])
    assert set(good) == {LOG.verifier, WITNESS.verifier}
    assert WITNESS.verifier.at(good[WITNESS.verifier]) == 1_700_000_000
    assert LOG.verifier.at(good[LOG.verifier]) is None
    assert checkpoint.read(opened.text) == Head("gateway.example/audit", 3, bytes(32))


def test_a_cosignature_is_bound_to_its_time() -> None:
    given = WITNESS.sign(TEXT, 1_700_000_000)
    later = given._replace(value=(1_700_000_001).to_bytes(8, "big") + given.value[8:])
    assert WITNESS.verifier.has_signed(TEXT, given)
    assert not WITNESS.verifier.has_signed(TEXT, later)


def test_a_cosignature_is_no_signature_of_a_log() -> None:
    both = Signer(WITNESS.verifier.name, Kind.NOTE, bytes(range(1, 33)))
    value = WITNESS.sign(TEXT, 1).value
    assert not both.verifier.has_signed(TEXT, both.sign(TEXT)._replace(value=value[8:]))


def test_strangers_are_passed_over_and_alone_are_not_enough() -> None:
    stranger = Signer("stranger.example", Kind.NOTE, bytes(32))
    _, good = note.opened(note.signed(TEXT, [stranger, LOG]), [LOG.verifier])
    assert list(good) == [LOG.verifier]
    with pytest.raises(Invalid, match=r"signed by stranger\.example"):
        note.opened(note.signed(TEXT, [stranger]), [LOG.verifier])


def test_one_false_signature_of_somebody_known_spoils_the_note() -> None:
    false = LOG.sign("another text\n").line()
    with pytest.raises(Invalid, match="is false"):
        note.opened(note.signed(TEXT, [WITNESS]) + false, [LOG.verifier, WITNESS.verifier])


@pytest.mark.parametrize("signer", [LOG, WITNESS], ids=["log", "witness"])
def test_a_private_key_is_read_as_it_was_written_and_never_shown(signer: Signer) -> None:
    again = note.signer(signer.written() + "\n")
    assert again.verifier == signer.verifier
    assert again.sign(TEXT, 5) == signer.sign(TEXT, 5)
    secret = signer.written().rpartition("+")[2]
    assert secret not in repr(signer)
    wrong = signer.written()[:-8]
    with pytest.raises(Invalid) as refused:
        note.signer(wrong)
    assert secret[:20] not in str(refused.value)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "example.com/foo",
        FOO.replace("530d903a", "530d903b"),
        FOO.replace("example.com/foo", "example.com foo"),
        FOO[:-4],
        FOO.replace("AekyeRrm", "CekyeRrm"),
    ],
    ids=["nothing", "a name", "another number", "a space", "too short", "another kind"],
)
def test_what_is_no_verifier_key_is_refused(line: str) -> None:
    with pytest.raises(Invalid):
        note.verifier(line)


@pytest.mark.parametrize(
    "written",
    ["", "text\n", "text\n\n", "text\n\nno dash\n", PUBLISHED.rstrip("\n"), "x" * 70_000 + PUBLISHED],
    ids=["nothing", "no signature", "no line", "no dash", "no end", "too long"],
)
def test_what_is_no_note_is_refused(written: str) -> None:
    with pytest.raises(Invalid):
        note.read(written)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "log\n3\n",
        "log\n03\nAAAA\n",
        "log\n3\nAAAA\n",
        TEXT.rstrip("\n"),
        "\n" + TEXT[TEXT.index("\n") + 1 :],
    ],
    ids=["nothing", "no root", "a zero before", "a short root", "no end", "no name"],
)
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        checkpoint.read(text)
