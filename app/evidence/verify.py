#!/usr/bin/env python3
"""Checks an evidence pack without its maker and without a network. Needs Python 3.9 and the package cryptography.

    python3 verify.py PACK.zip --key KEY [--key KEY …]

KEY is the public key of the log, <name>+<number>+<base64>, which its owner tells you by another way than the one the
pack came by; a witness's key may be given as well. Ends with 0: all of it is true; 1: it is not; 2: wrongly called; 3:
it is whole, but signed by a key that only the pack itself names.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import csv
import hashlib
import io
import json
import re
import struct
import sys
import zipfile
import zlib

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

FORM = "imei-gateway-evidence/1"
MANIFEST, SIGNATURE = "manifest.json", "manifest.json.sig"
CHECKPOINT, ENTRIES, DEVICES, DELIVERIES = (
    "audit/checkpoint.txt", "audit/entries.ndjson", "devices.csv", "deliveries.ndjson",
)  # fmt: skip
KNOWN = {
    CHECKPOINT, ENTRIES, DEVICES, DELIVERIES, MANIFEST, SIGNATURE,
    "movements.csv", "sightings.csv", "report.pdf", "verify.py",
}  # fmt: skip
MOST, MOST_SMALL, PIECE = 4 * 2**30, 4 * 2**20, 1 << 18
TRUE, FALSE, UNVOUCHED = 0, 1, 3
_LINE = re.compile("\u2014 (\\S+) ([A-Za-z0-9+/]+=*)")


class Fault(Exception):
    """Why the pack is not to be believed."""


def must(good, why):
    if not good:
        raise Fault(why)


# --- the zip ---------------------------------------------------------------------------------------------------------


class Zip:
    """A zip with nothing in it that its files do not account for: each byte of its headers is what it would be."""

    def __init__(self, file):
        self.file = file
        try:
            self.infos = zipfile.ZipFile(file).infolist()
        except (zipfile.BadZipFile, ValueError, NotImplementedError, struct.error, OverflowError) as error:
            raise Fault("this is no zip: %s" % error) from None
        names = [info.filename for info in self.infos]
        must(len(names) == len(set(names)), "a name stands in the zip twice")
        must(set(names) <= KNOWN, "the zip has a file that no pack has: %r" % sorted(set(names) - KNOWN)[:3])
        last = [name for name in (MANIFEST, SIGNATURE) if name in names]
        must(names == sorted(set(names) - set(last)) + last, "the files of the zip are in no order")
        must(sum(info.file_size for info in self.infos) <= MOST, "the zip is larger than any pack")
        self.by_name = {info.filename: info for info in self.infos}
        self._check_frame()

    def _check_frame(self):
        directory, at = b"", 0
        for info in self.infos:
            name = info.filename.encode("ascii")
            sizes = (info.CRC, info.compress_size, info.file_size)
            known = struct.pack("<HHHHHLLLHH", 20, 0, method(info), 0, 33, *sizes, len(name), 0)
            local = b"PK\3\4" + known + name
            self.file.seek(at)
            must(info.header_offset == at, "the zip has a gap")
            must(self.file.read(len(local)) == local, "the zip was changed: the head of %s" % info.filename)
            directory += (
                b"PK\1\2"
                + struct.pack("<BB", 20, 3)
                + known
                + struct.pack("<HHHLL", 0, 0, 0, 0o100644 << 16, at)
                + name
            )
            at += len(local) + info.compress_size
        count, size = len(self.infos), len(directory)
        directory += b"PK\5\6" + struct.pack("<HHHHLLH", 0, 0, count, count, size, at, 0)
        self.file.seek(at)
        must(self.file.read(len(directory) + 1) == directory, "the zip was changed: its directory")

    def pieces(self, name):
        """The contents, never more than the zip says that they are."""
        info = self.by_name[name]
        self.file.seek(info.header_offset + 30 + len(name))
        left, size, crc = info.compress_size, 0, 0
        opened = zlib.decompressobj(-15) if method(info) else Stored(left)
        while left > 0:
            packed = self.file.read(min(PIECE, left))
            must(packed, "the zip ends too early")
            left -= len(packed)
            while packed:
                piece = self._open(opened, packed, name)
                size, crc = size + len(piece), zlib.crc32(piece, crc)
                must(size <= info.file_size, "%s is larger than it says" % name)
                packed = opened.unconsumed_tail
                if piece:
                    yield piece
                elif not packed:
                    break
        must(opened.eof and not opened.unused_data, "%s is not packed as it should be" % name)
        must(size == info.file_size and crc == info.CRC, "%s was changed" % name)

    @staticmethod
    def _open(opened, packed, name):
        try:
            return opened.decompress(packed, PIECE)
        except zlib.error:
            raise Fault("%s was changed: it cannot be unpacked" % name) from None

    def before(self, name):
        """The SHA-256 of all that stands before a file: how the others are packed, too."""
        self.file.seek(0)
        left, digest = self.by_name[name].header_offset, hashlib.sha256()
        while left > 0:
            piece = self.file.read(min(PIECE, left))
            must(piece, "the zip ends too early")
            digest.update(piece)
            left -= len(piece)
        return digest.hexdigest()

    def read(self, name):
        must(name in self.by_name, "%s is missing" % name)
        must(self.by_name[name].file_size <= MOST_SMALL, "%s is too large" % name)
        return b"".join(self.pieces(name))

    def lines(self, name):
        kept = b""
        for piece in self.pieces(name):
            *whole, kept = (kept + piece).split(b"\n")
            must(len(kept) <= MOST_SMALL, "%s has a line without end" % name)
            yield from whole
        must(not kept, "%s ends in the middle of a line" % name)


class Stored:
    """What is not packed, as a decompressor that opens nothing."""

    unconsumed_tail = unused_data = b""

    def __init__(self, size):
        self.left = size
        self.eof = not size

    def decompress(self, piece, most):
        self.left -= len(piece)
        self.eof = not self.left
        return piece


def method(info):
    """Manifest and signature are stored: each of their bits counts. The others are packed, as the manifest vouches."""
    return 0 if info.filename in (MANIFEST, SIGNATURE) else 8


# --- notes and proofs ------------------------------------------------------------------------------------------------


def key(line):
    """(name, number, kind, public key) of a verifier key."""
    try:
        name, number, held = line.strip().split("+", 2)
        held = base64.b64decode(held, validate=True)
    except (ValueError, binascii.Error):
        raise Fault("%r is no key: it would be <name>+<number>+<base64>" % line[:80]) from None
    must(len(held) == 33 and held[0] in (1, 4), "%r is no key of a log or a witness" % line[:80])
    right = hashlib.sha256(name.encode() + b"\n" + held).digest()[:4]
    must(right.hex() == number, "the key %r was copied wrongly" % line[:80])
    return name, right, held[0], held[1:]


def signers(written, keys):
    """The text of a signed note, and those of the keys that have signed it. A false signature of one is a fault."""
    text, gap, below = written.rpartition("\n\n")
    must(gap and below.endswith("\n"), "there is no signed note")
    text += "\n"
    good = set()
    for line in below[:-1].split("\n"):
        match = _LINE.fullmatch(line)
        must(match, "a signature is no signature")
        try:
            held = base64.b64decode(match[2], validate=True)
        except binascii.Error:
            raise Fault("a signature is no base64") from None
        must(base64.b64encode(held).decode() == match[2], "a signature is not written as it should be")
        for one in keys:
            if (one[0], one[1]) == (match[1], held[:4]):
                must(is_signed(one, text, held[4:]), "the signature of %s is false" % one[0])
                good.add(one)
    return text, good


def is_signed(one, text, value):
    said = text
    if one[2] == 4:
        said, value = "cosignature/v1\ntime %d\n%s" % (int.from_bytes(value[:8], "big"), text), value[8:]
    try:
        Ed25519PublicKey.from_public_bytes(one[3]).verify(value, said.encode())
    except (InvalidSignature, ValueError):
        return False
    return True


def node(left, right):
    return hashlib.sha256(b"\1" + left + right).digest()


def root_of(leaf, index, size, proof):
    """The tree hash that a proof comes to (RFC 9162, 2.1.3.2); None for one that is none."""
    at, last, found = index, size - 1, leaf
    for other in proof:
        if not last:
            return None
        if at & 1 or at == last:
            found = node(other, found)
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            found = node(found, other)
        at, last = at >> 1, last >> 1
    return None if last else found


# --- the pack --------------------------------------------------------------------------------------------------------


def verify(file, given=()):
    """Raises Fault. Gives what was found, in words, and whether a given key vouches for it."""
    pack = Zip(file)
    text = pack.read(MANIFEST)
    manifest = json.loads(text)
    must(manifest.get("form") == FORM, "the manifest is of no form that this program knows")
    logs = [one for one in map(key, given) if one[2] == 1] or None
    witnesses = [one for one in map(key, given) if one[2] == 4]
    keys = logs or [key(line) for line in manifest["keys"]]
    said, good = signers(pack.read(SIGNATURE).decode(), keys)
    must(good, "the manifest is signed by none of the keys: ask for the right one")
    must(said == "%s\nsha256 %s\n" % (FORM, hashlib.sha256(text).hexdigest()), "the manifest was changed")
    check_files(pack, manifest)
    cosigned = check_checkpoint(pack, manifest, keys, witnesses)
    bodies = check_entries(pack, manifest)
    frozen = check_devices(pack, manifest, bodies)
    calls = check_deliveries(pack, manifest, bodies)
    found = [
        "incident %s (%s), for %s, as of %s"
        % tuple(manifest[name] for name in ("incident", "reference", "for", "as_of")),
        "%d files, each as the manifest says" % len(manifest["files"]),
        "%d entries of the log, each proven under %d of %s"
        % (len(bodies), manifest["checkpoint"]["size"], manifest["origin"]),
        "%d devices, %d identifiers%s"
        % (manifest["counts"]["devices"], manifest["counts"]["identifiers"], frozen),
        "%d calls to partners, as the log has them" % calls,
        "witnesses: %s" % (", ".join(sorted(cosigned)) or "none of a key that was given"),
    ]
    if manifest["not_yet_proven"]:
        found.append("%d entries were not proven yet, and are not in this pack" % manifest["not_yet_proven"])
    return found, logs is not None


def check_files(pack, manifest):
    listed = manifest["files"]
    there = set(pack.by_name) - {MANIFEST, SIGNATURE}
    must(there == set(listed), "files are missing, or too many: %s" % ", ".join(sorted(there ^ set(listed))))
    must(pack.before(MANIFEST) == manifest["before"], "the zip was changed: it is packed in another way")
    for name, said in listed.items():
        must(pack.by_name[name].file_size == said["size"], "%s is not as long as the manifest says" % name)
        digest = hashlib.sha256()
        for piece in pack.pieces(name):
            digest.update(piece)
        must(digest.hexdigest() == said["sha256"], "%s was changed" % name)


def check_checkpoint(pack, manifest, keys, witnesses):
    text, good = signers(pack.read(CHECKPOINT).decode(), [*keys, *witnesses])
    must(any(one[2] == 1 for one in good), "the checkpoint is signed by none of the keys of the log")
    origin, size, root = text.split("\n")[:3]
    said = manifest["checkpoint"]
    must(
        origin == manifest["origin"] and any(one[0] == origin for one in good),
        "the checkpoint is of another log",
    )
    must(
        size == str(said["size"]) and base64.b64decode(root).hex() == said["root"],
        "the checkpoint is another one",
    )
    missing = [one[0] for one in witnesses if one not in good]
    must(not missing, "the checkpoint is not signed by %s" % ", ".join(missing))
    return {one[0] for one in good if one[2] == 4}


def check_entries(pack, manifest):
    size, root = manifest["checkpoint"]["size"], bytes.fromhex(manifest["checkpoint"]["root"])
    bodies, places = {}, set()
    for line in pack.lines(ENTRIES):
        one = json.loads(line)
        number, leaf, index = one["entry"], bytes.fromhex(one["leaf"]), one["index"]
        must(number not in bodies and index not in places, "entry %d stands there twice" % number)
        if one["body"] is not None:
            right = hashlib.sha256(b"\0" + one["body"].encode()).digest()
            must(right == leaf, "entry %d is not what its hash says" % number)
        proof = [bytes.fromhex(each) for each in one["proof"]]
        must(
            0 <= index < size and root_of(leaf, index, size, proof) == root, "entry %d is not proven" % number
        )
        bodies[number] = None if one["body"] is None else checked(number, json.loads(one["body"]), manifest)
        places.add(index)
    must(len(bodies) == manifest["counts"]["entries"], "entries of the log are missing, or too many")
    return bodies


def checked(number, body, manifest):
    """An entry that is about this incident, and in a pack for a partner about that partner."""
    incident = manifest["incident"]
    if body["kind"] == "delivery.attempted":
        must(body["detail"]["incident"] == incident, "entry %d is about another incident" % number)
        partner = manifest["partner"]
        must(
            partner is None or body["subject"] == "partner:%d" % partner,
            "entry %d is about another partner" % number,
        )
    else:
        must(body["subject"] == "incident:%d" % incident, "entry %d is about another incident" % number)
    return body


def check_devices(pack, manifest, bodies):
    keys, devices = [], 0
    rows = csv.reader(io.StringIO("".join(line.decode() + "\n" for line in pack.lines(DEVICES)), newline=""))
    header = next(rows)
    must(header[0] == "keys", "devices.csv has no keys")
    for row in rows:
        own = [-int(one[7:]) if one.startswith("serial-") else int(one) for one in row[0].split()]
        must(own, "a device has no key")
        keys += own
        devices += 1
    must(len(keys) == len(set(keys)), "an identifier stands in devices.csv twice")
    must(len(keys) == manifest["counts"]["identifiers"], "devices.csv has another number of identifiers")
    must(devices >= manifest["counts"]["devices"], "devices.csv has fewer devices")
    return check_frozen(sorted(keys), manifest, bodies)


def check_frozen(keys, manifest, bodies):
    """What was submitted and approved is what stands in devices.csv, no more and no less."""
    if manifest["frozen"] is None:
        return ""
    digest = hashlib.sha256(struct.pack(">%dq" % len(keys), *keys)).hexdigest()
    must(digest == manifest["frozen"], "the identifiers are not those that were submitted")
    for body in filter(None, bodies.values()):
        if body["kind"] == "incident.submitted":
            must(body["detail"]["frozen"] == digest, "the log says that others were submitted")
        if body["kind"] == "incident.approved":
            must(body["detail"]["identifiers"] == len(keys), "the log says that another number was approved")
    return ", exactly those that were submitted"


def check_deliveries(pack, manifest, bodies):
    if DELIVERIES not in pack.by_name:
        return 0
    calls, words, seen = 0, 0, set()
    for line in pack.lines(DELIVERIES):
        one = json.loads(line)
        if one["type"] != "call":
            words += 1
            continue
        calls += 1
        place = one["entry"], one["call"]
        must(place[0] in bodies and place not in seen, "a call is of no entry of this pack, or there twice")
        seen.add(place)
        body = bodies[place[0]]
        if body is not None:
            told = body["detail"]["calls"][one["call"]]
            same = body["subject"] == "partner:%d" % one["partner"] and body["detail"]["op"] == one["op"]
            same = same and all(one.get(name) == value for name, value in told.items())
            must(same, "call %d of entry %d is not as the log has it" % (place[1], place[0]))
    must(
        (calls, words) == (manifest["counts"]["deliveries"], manifest["counts"]["words"]),
        "deliveries are missing",
    )
    return calls


def run(path, given=(), out=sys.stdout.write):
    """Says what was found; the exit code."""
    try:
        with open(path, "rb") as file:
            found, vouched = verify(file, given)
    except Fault as fault:
        out("REFUSED: %s\n" % fault)
        return FALSE
    except (
        KeyError,
        ValueError,
        TypeError,
        IndexError,
        AttributeError,
        OverflowError,
        RecursionError,
    ) as error:
        out("REFUSED: it is not in the form of a pack (%s)\n" % type(error).__name__)
        return FALSE
    out("".join("  %s\n" % line for line in found))
    if vouched:
        out("TRUE: the pack is whole, and signed by the key that you gave.\n")
        return TRUE
    out(
        "NOT VOUCHED FOR: the pack is whole, but only by the key that it names itself. Anybody can make such a pack.\n"
        "Ask the owner of the log for the key by another way, and give it with --key.\n"
    )
    return UNVOUCHED


def main():
    parser = argparse.ArgumentParser(description="Checks an evidence pack.")
    parser.add_argument("pack")
    parser.add_argument("--key", action="append", default=[], help="the key of the log, or of a witness")
    given = parser.parse_args()
    try:
        return run(given.pack, given.key)
    except OSError as error:
        sys.stderr.write("%s\n" % error)
        return 2


if __name__ == "__main__":
    sys.exit(main())
