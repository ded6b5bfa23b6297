"""A pack that was changed anywhere is refused by its own verify.py, also where whoever changed it signs it anew."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.audit import note, signing
from app.evidence import verify
from app.evidence.pack import FORM

from .asking import decided, drafted, register, stock
from .test_evidence import contents, fetched, verified

LAST = ("manifest.json", "manifest.json.sig")


def packed(files: dict[str, bytes], order: Callable[[list[str]], list[str]] = sorted) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        for name in [*order([name for name in files if name not in LAST]), *(n for n in LAST if n in files)]:
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_STORED if name in LAST else zipfile.ZIP_DEFLATED
            info.create_system, info.external_attr = 3, 0o100644 << 16
            made.writestr(info, files[name])
    return out.getvalue()


def before(files: dict[str, bytes]) -> str:
    """The SHA-256 of all that stands before the manifest in the zip."""
    pack = packed(files)
    with zipfile.ZipFile(io.BytesIO(pack)) as read:
        return hashlib.sha256(pack[: read.getinfo(LAST[0]).header_offset]).hexdigest()


def signed(files: dict[str, bytes], signer: note.Signer, **said: object) -> bytes:
    """A pack whose manifest says what its files are, and what else is `said`, signed by whoever this is."""
    names = [name for name in files if name not in LAST]
    listed = {
        name: {"size": len(files[name]), "sha256": hashlib.sha256(files[name]).hexdigest()} for name in names
    }
    whole = {**json.loads(files["manifest.json"]), "before": before(files), **said, "files": listed}
    manifest = json.dumps(whole).encode()
    text = f"{FORM}\nsha256 {hashlib.sha256(manifest).hexdigest()}\n"
    return packed(
        {**files, "manifest.json": manifest, "manifest.json.sig": note.signed(text, [signer]).encode()}
    )


@pytest.fixture(scope="module")
async def packs(gateway) -> tuple[bytes, bytes]:
    """Of two incidents."""
    found = []
    for _ in range(2):
        goods = stock(3)
        await register(gateway["goods-in"], goods)
        incident = await drafted(gateway["incident-manager"], pallets=[goods.pallet])
        await decided(gateway["incident-manager"], incident, "submit")
        await decided(gateway["approver"], incident, "approve")
        found.append(await fetched(gateway["auditor"], incident))
    return found[0], found[1]


@pytest.fixture(scope="module")
def signer(gateway) -> note.Signer:
    return signing.load(gateway.settings).signers[0]


NAMES = [
    "audit/checkpoint.txt", "audit/entries.ndjson", "deliveries.ndjson", "devices.csv", "manifest.json",
    "manifest.json.sig", "movements.csv", "report.pdf", "sightings.csv", "verify.py",
]  # fmt: skip


BROKEN = (verify.Fault, KeyError, ValueError, TypeError, IndexError, AttributeError)


def refused(pack: bytes, key: str, word: str = "") -> None:
    """`verify` refuses it; what it does not even understand, `run` refuses for it."""
    with pytest.raises(verify.Fault if word else BROKEN, match=word or None):
        verify.verify(io.BytesIO(pack), [key])


def test_a_pack_as_it_was_made_is_believed(packs, signer):
    assert sorted(contents(packs[0])) == NAMES
    assert packed(contents(packs[0])) == packs[0]
    assert verify.verify(io.BytesIO(packs[0]), [signer.verifier.written()])[1]


@pytest.mark.parametrize("name", [name for name in NAMES if name != "deliveries.ndjson"])
def test_one_bit_of_any_file_is_found(packs, signer, name, tmp_path):
    files = contents(packs[0])
    changed = bytearray(files[name] or b"\0")
    changed[len(changed) // 2] ^= 1
    pack = packed({**files, name: bytes(changed)})
    if name != "verify.py":
        assert verified(pack, tmp_path, signer.verifier.written()).returncode == 1
    refused(pack, signer.verifier.written())


@settings(deadline=None, max_examples=300)
@given(data=st.data())
def test_any_flipped_bit_of_the_zip_is_found(packs, signer, data):
    place = data.draw(st.integers(0, len(packs[0]) - 1))
    changed = bytearray(packs[0])
    changed[place] ^= 1 << data.draw(st.integers(0, 7))
    refused(bytes(changed), signer.verifier.written())


def lines(files: dict[str, bytes]) -> list[dict]:
    return [json.loads(line) for line in files["audit/entries.ndjson"].splitlines()]


def written(entries: list[dict]) -> bytes:
    return b"".join(json.dumps(one).encode() + b"\n" for one in entries)


def swapped(files, _):
    first, second, *rest = lines(files)
    first["body"], second["body"] = second["body"], first["body"]
    return {"audit/entries.ndjson": written([first, second, *rest])}


def unproven(files, _):
    first, *rest = lines(files)
    return {"audit/entries.ndjson": written([{**first, "proof": first["proof"][1:]}, *rest])}


def without_one(files, _):
    return {"audit/entries.ndjson": written(lines(files)[1:])}


def twice(files, _):
    first, _, third = lines(files)
    return {"audit/entries.ndjson": written([first, first, third])}


def of_another(files, other):
    return {name: other[name] for name in ("audit/entries.ndjson", "audit/checkpoint.txt")}


def older(files, other):
    return {"audit/checkpoint.txt": other["audit/checkpoint.txt"]}


def invented(files, _):
    first, *rest = lines(files)
    body = first["body"].replace("Night", "Might")
    leaf = hashlib.sha256(b"\0" + body.encode()).hexdigest()
    return {"audit/entries.ndjson": written([{**first, "body": body, "leaf": leaf}, *rest])}


def fewer(files, _):
    return {"devices.csv": b"".join(files["devices.csv"].splitlines(keepends=True)[:-1])}


def others_devices(files, other):
    return {"devices.csv": other["devices.csv"]}


def told(files, _):
    return {"deliveries.ndjson": b'{"type":"call","entry":1,"call":0}\n'}


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (swapped, "not what its hash says"),
        (unproven, "not proven"),
        (without_one, "entries of the log are missing"),
        (twice, "twice"),
        (older, "the checkpoint is another one"),
        (invented, "not proven"),
        (fewer, "identifiers"),
        (others_devices, "not those that were submitted"),
        (told, "a call is of no entry"),
    ],
)
def test_what_the_log_does_not_bear_out_is_refused_whoever_signs_it(packs, signer, change, word):
    files, other = contents(packs[1]), contents(packs[0])
    refused(signed({**files, **change(files, other)}, signer), signer.verifier.written(), word)


def test_entries_of_another_incident_are_refused(packs, signer):
    files, other = contents(packs[1]), contents(packs[0])
    checkpoint = json.loads(other["manifest.json"])["checkpoint"]
    pack = signed({**files, **of_another(files, other)}, signer, checkpoint=checkpoint)
    refused(pack, signer.verifier.written(), "another incident")


def test_a_stranger_s_signature_counts_for_nothing(packs, signer, tmp_path):
    stranger = signing.new(signer.verifier.name, note.Kind.NOTE, lambda count: b"s" * count)
    pack = signed(contents(packs[0]), stranger)
    refused(pack, signer.verifier.written(), "signed by none of the keys")


@pytest.mark.parametrize("name", ["../evil", "/etc/x", "notes.txt", "audit/entries.ndjson/x"])
def test_a_file_that_no_pack_has_is_refused(packs, signer, name):
    refused(signed({**contents(packs[0]), name: b"x"}, signer), signer.verifier.written(), "no pack has")


def test_a_name_that_stands_there_twice_is_refused(packs, signer):
    out = io.BytesIO(packs[0])
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(out, "a") as made:
        made.writestr("devices.csv", b"keys\n")
    refused(out.getvalue(), signer.verifier.written(), "twice")


def test_the_same_files_packed_in_another_way_are_refused(packs, signer):
    files, out = contents(packs[0]), io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(packs[0])) as read, zipfile.ZipFile(out, "w", compresslevel=1) as made:
        for info in read.infolist():
            made.writestr(info, files[info.filename], compresslevel=1)
    assert contents(out.getvalue()) == files
    refused(out.getvalue(), signer.verifier.written(), "packed in another way")


def test_a_manifest_without_end_is_refused_before_it_is_read(packs, signer):
    files = contents(packs[0]) | {"manifest.json": b" " * (64 * 2**20)}
    refused(packed(files), signer.verifier.written(), "too large")
