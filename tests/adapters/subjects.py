"""Our adapters as the conformance suite examines them: settings, and a partner that does all it is told."""

import json

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


def _webhook(call: Call) -> Reply:
    told = json.loads(call.body)
    listed = [event["data"] for event in told] if isinstance(told, list) else told["data"]["identifiers"]
    results = [{"identifier": entry["identifier"], "outcome": "done"} for entry in listed]
    return _json({"results": results})


def _knox_guard(call: Call) -> Reply:
    devices = json.loads(call.body)["deviceList"]
    names = [device.get("deviceUid") or device["deviceId"] for device in devices]
    return _json({"deviceList": [{"deviceUid": name, "result": "SUCCESS"} for name in names]})


_CEIR = {"url": "https://ceir.example", "username": "gateway", "password": "hunter2-hunter2"}
_WEBHOOK = {"url": "https://partner.example/in", "secret": SECRET, "previous_secret": OLD_SECRET}
_KNOX = {
    "url": "https://eu.knox.example",
    "api_token": "header.payload.signature",
    "email": "found@gateway.example",
    "webhook_secret": SECRET,
}


def _subject(kind: str, settings: dict, obeys, bare_success: bool = False) -> Subject:
    return Subject(registry.adapter(kind), settings, obeys, bare_success)


SUBJECTS = {
    "ceir": _subject("ceir", _CEIR, _ceir),
    "ceir-waiting": _subject("ceir", {**_CEIR, "stolen_waits": True, "devices_per_call": 20}, _ceir),
    "eir_push": _subject("eir_push", {"url": "http://eir.example:8080/"}, _eir_push),
    "webhook": _subject("webhook", _WEBHOOK, _webhook, bare_success=True),
    "webhook-batched": _subject("webhook", {**_WEBHOOK, "form": "batched"}, _webhook, bare_success=True),
    "webhook-bare": _subject("webhook", _WEBHOOK, lambda _: Reply(204, {}, b""), bare_success=True),
    "knox_guard": _subject("knox_guard", _KNOX, _knox_guard),
}
