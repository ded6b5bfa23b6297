"""Our adapters as the conformance suite examines them: settings, and a partner that does all it is told."""

import csv
import io
import json
import zipfile
from urllib.parse import parse_qs, urlsplit

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from app.adapters import registry
from app.adapters.conformance import Call, Subject
from app.adapters.contract import Reply

SECRET = "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LQ=="
OLD_SECRET = "whsec_b2xkLW9sZC1vbGQtb2xkLW9sZC1vbGQtb2xkLQ=="


def _json(document: object, status: int = 200) -> Reply:
    return Reply(status, {"content-type": "application/json"}, json.dumps(document).encode())


def _ceir(call: Call) -> Reply:
    devices = json.loads(call.body)["devices"]
    return _json([{"imei": device["imei"], "statusCode": 200, "statusMessage": "ok"} for device in devices])


def _eir_push(call: Call) -> Reply:
    return Reply(201, {}, b"added") if call.method == "POST" else Reply(202, {}, b"deleted")


ROW = {"eir_id": 17, "imei": "", "imsi": "", "regex_mode": 0, "match_response_code": 1, "last_modified": "x"}
HELD = ("350000000000006", "350000000000014")


def _rows(*imeis: str) -> list[dict]:
    return [{**ROW, "imei": imei, "eir_id": 100 + place} for place, imei in enumerate(imeis)]


# Each says something, and none that this one device is blocked with whatever SIM.
OTHERS = [
    {**ROW, "eir_id": 1, "imei": HELD[0], "imsi": "001010000000001"},
    {**ROW, "eir_id": 2, "imei": "^35.*", "regex_mode": 1},
    {**ROW, "eir_id": 3, "imei": HELD[0], "match_response_code": 2},
    {**ROW, "eir_id": 4, "imei": None, "imsi": None},
]


def _eir_rest(held: tuple[str, ...]):
    def obeys(call: Call) -> Reply:
        if call.method == "GET":
            first = parse_qs(urlsplit(call.url).query)["page"] == ["0"]
            return _json([*OTHERS, *_rows(*held)] if first else [])
        return _json({"Result": "OK"} if call.method == "DELETE" else {**ROW, **json.loads(call.body)})

    return obeys


def _webhook(call: Call) -> Reply:
    told = json.loads(call.body)
    listed = [event["data"] for event in told] if isinstance(told, list) else told["data"]["identifiers"]
    results = [{"identifier": entry["identifier"], "outcome": "done"} for entry in listed]
    return _json({"results": results})


def _knox_guard(call: Call) -> Reply:
    if call.url.endswith("/list"):
        locked = [{"deviceUid": name, "objectId": f"KG-{name}", "status": "Locked"} for name in HELD]
        active = [{"deviceUid": "R58M00001XY", "objectId": "KG-9", "status": "Enrolled"}]
        return _json({"deviceList": [] if json.loads(call.body)["pageNum"] else [*locked, *active]})
    devices = json.loads(call.body)["deviceList"]
    names = [device.get("deviceUid") or device["deviceId"] for device in devices]
    return _json({"deviceList": [{"deviceUid": name, "result": "SUCCESS"} for name in names]})


def _listed(name: str, body: bytes) -> list[list[str]]:
    """The rows of a file of orders, without what is no row of an identifier."""
    if name.endswith(".zip"):
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            body = archive.read(archive.namelist()[0])
    rows = list(csv.reader(io.StringIO(body.decode())))
    return rows[1:-1] if name.endswith(".txt") else rows[1:]


def _names(row: list[str]) -> list[str]:
    """What a row names: an IMEI, a serial, or each IMEI from a first to a last."""
    if row[1:2] and row[0][:8] == row[1][:8] and len(row[1]) == 14:
        return [f"{key:014d}" for key in range(int(row[0]), int(row[1]) + 1)]
    return [row[0] or row[1]]


def leaves_acks(name: str, body: bytes) -> dict[str, bytes]:
    lines = [f"{found},done,booked" for row in _listed(name, body) for found in _names(row)] if body else []
    return {f"{name}.ack": "\n".join(("identifier,result,words", *lines, "")).encode()}


def leaves_nothing(_name: str, _body: bytes) -> dict[str, bytes]:
    return {}


def host_key() -> str:
    key = Ed25519PrivateKey.generate().public_key()
    return key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


SFTP = {
    "url": "sftp://partner.example/in",
    "user": "gateway",
    "password": "hunter2-hunter2",
    "host_key": host_key(),
}
_ACKS = {**SFTP, "acknowledged": True}
_CEIR = {"url": "https://ceir.example", "username": "gateway", "password": "hunter2-hunter2"}
_WEBHOOK = {"url": "https://partner.example/in", "secret": SECRET, "previous_secret": OLD_SECRET}
_KNOX = {
    "url": "https://eu.knox.example",
    "api_token": "header.payload.signature",
    "email": "found@gateway.example",
    "webhook_secret": SECRET,
}


_EIR_REST = {"url": "http://eir.example:8080/", "provisioning_key": "a provisioning key"}


def _subject(kind: str, settings: dict, obeys, bare_success: bool = False, **more) -> Subject:
    return Subject(registry.adapter(kind), settings, obeys, bare_success, **more)


# The suite's own first IMEI: it is there already, where the partner is asked for it.
_THERE = "350000000000170"


def _by_files(kind: str, settings: dict, leaves=leaves_nothing) -> Subject:
    return Subject(registry.adapter(kind), settings, leaves=leaves)


SUBJECTS = {
    "ceir": _subject("ceir", _CEIR, _ceir),
    "ceir-waiting": _subject("ceir", {**_CEIR, "stolen_waits": True, "devices_per_call": 20}, _ceir),
    "eir_push": _subject("eir_push", {"url": "http://eir.example:8080/"}, _eir_push),
    "eir_rest": _subject("eir_rest", _EIR_REST, _eir_rest(HELD), ref="17", held=HELD),
    "eir_rest-there": _subject("eir_rest", _EIR_REST, _eir_rest((_THERE,)), ref="17", held=(_THERE,)),
    "eir_rest-whole": _subject(
        "eir_rest", {**_EIR_REST, "rows_per_page": 0}, _eir_rest(HELD), ref="17", held=HELD
    ),
    "webhook": _subject("webhook", _WEBHOOK, _webhook, bare_success=True),
    "webhook-batched": _subject("webhook", {**_WEBHOOK, "form": "batched"}, _webhook, bare_success=True),
    "webhook-bare": _subject("webhook", _WEBHOOK, lambda _: Reply(204, {}, b""), bare_success=True),
    "knox_guard": _subject("knox_guard", _KNOX, _knox_guard, held=HELD),
    "sftp_csv": _by_files("sftp_csv", SFTP),
    "sftp_csv-acks": _by_files("sftp_csv", _ACKS, leaves_acks),
    "sftp_csv-one-row": _by_files("sftp_csv", {**_ACKS, "rows_per_file": 1}, leaves_acks),
    "dirbs_file": _by_files("dirbs_file", {"url": "file:///dirbs/in"}),
    "dirbs_file-acks": _by_files("dirbs_file", _ACKS, leaves_acks),
    "gsma_file": _by_files("gsma_file", {**SFTP, "organisation": "ORG1"}),
    "gsma_file-acks": _by_files("gsma_file", {**_ACKS, "organisation": "ORG1"}, leaves_acks),
}
