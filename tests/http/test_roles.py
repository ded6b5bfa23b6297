"""Who may do what: every route with every role. A route without an entry here fails."""

from __future__ import annotations

from typing import Any

import pytest

from app.access.roles import Role
from app.api import examples
from app.api.openapi import Operation, operations
from app.api.routes import application

from .asking import JSON, problem, refusal

ALL = frozenset(Role)
LOOKS = {Role.INCIDENT_MANAGER, Role.APPROVER, Role.AUDITOR, Role.ADMIN}
DRAFTS = {Role.INCIDENT_MANAGER, Role.ADMIN}
DECIDES = {Role.APPROVER, Role.ADMIN}
MAY: dict[str, set[Role]] = {
    "registerDevices": {Role.GOODS_IN, Role.ADMIN},
    "listReceipts": LOOKS | {Role.GOODS_IN},
    "readReceipt": LOOKS | {Role.GOODS_IN},
    "listRejections": LOOKS | {Role.GOODS_IN},
    "listWarnings": LOOKS | {Role.GOODS_IN},
    "listUpdates": LOOKS | {Role.GOODS_IN},
    "downloadRejects": LOOKS | {Role.GOODS_IN},
    "listMappings": {Role.GOODS_IN, Role.ADMIN},
    "readMapping": {Role.GOODS_IN, Role.ADMIN},
    "saveMapping": {Role.GOODS_IN, Role.ADMIN},
    "forgetMapping": {Role.GOODS_IN, Role.ADMIN},
    "moveDevices": {Role.GOODS_IN, Role.ADMIN},
    "reconcilePallet": LOOKS | {Role.GOODS_IN},
    "sellDevices": {Role.GOODS_IN, Role.ADMIN},
    "returnDevices": {Role.GOODS_IN, Role.ADMIN},
    "eraseDevices": {Role.ADMIN},
    "exportDevice": LOOKS,
    "findDevices": LOOKS | {Role.GOODS_IN},
    "importTacs": {Role.ADMIN},
    "findTacs": LOOKS | {Role.GOODS_IN},
    "readTacImport": LOOKS | {Role.GOODS_IN},
    "listTacFindings": LOOKS | {Role.GOODS_IN},
    "listIncidents": LOOKS,
    "previewIncident": DRAFTS,
    "listGolden": LOOKS,
    "addGolden": {Role.ADMIN},
    "removeGolden": {Role.ADMIN},
    "draftIncident": DRAFTS,
    "readIncident": LOOKS,
    "submitIncident": DRAFTS,
    "approveIncident": DECIDES,
    "breakGlass": DRAFTS,
    "reviewIncident": DECIDES,
    "rejectIncident": DECIDES,
    "listRules": LOOKS,
    "addRule": {Role.ADMIN},
    "listProposals": LOOKS,
    "readProposal": LOOKS,
    "approveProposal": DECIDES,
    "rejectProposal": DECIDES,
    "withdrawProposal": LOOKS,
    "withdrawIncident": DRAFTS,
    "liftDevices": DRAFTS | DECIDES,
    "listRefusals": LOOKS,
    "watchIncident": LOOKS,
    "downloadEvidence": LOOKS,
    "listProofs": LOOKS,
    "listDeliveryProofs": LOOKS,
    "captureEvents": {Role.GOODS_IN, Role.ADMIN},
    "discoverCapture": LOOKS | {Role.GOODS_IN},
    "listCaptures": LOOKS | {Role.GOODS_IN},
    "readCapture": LOOKS | {Role.GOODS_IN},
    "captureEvent": {Role.GOODS_IN, Role.ADMIN},
    "queryEvents": LOOKS | {Role.GOODS_IN},
    "readEvent": LOOKS | {Role.GOODS_IN},
    "askStatus": LOOKS | {Role.CARRIER},
    "askStatuses": LOOKS | {Role.CARRIER},
    "askSerial": LOOKS | {Role.CARRIER},
    "checkEquipment": LOOKS | {Role.CARRIER},
    "checkImeiStatus": LOOKS | {Role.CARRIER},
    "checkDevice": LOOKS | {Role.CARRIER},
    "downloadBlocklist": LOOKS | {Role.CARRIER},
    "downloadBlocklistFilter": LOOKS | {Role.CARRIER},
    "downloadBlocklistDay": LOOKS | {Role.CARRIER},
    "followBlocklist": LOOKS | {Role.CARRIER},
    "reportSightings": DRAFTS | DECIDES | {Role.CARRIER},
    "listSightings": LOOKS,
    "listAlerts": LOOKS,
    "seeAlert": DRAFTS | DECIDES,
    "listPartners": LOOKS,
    "addPartner": {Role.ADMIN},
    "readPartner": LOOKS,
    "changePartner": {Role.ADMIN},
    "tryPartner": {Role.ADMIN},
    "removePartner": {Role.ADMIN},
    "replayPartner": {Role.ADMIN},
    "resyncPartner": {Role.ADMIN},
    "reconcilePartner": {Role.ADMIN},
    "listAdapters": LOOKS,
    "listEntries": {Role.AUDITOR, Role.ADMIN},
    "readCheckpoint": {Role.AUDITOR, Role.ADMIN},
    "proveEntry": {Role.AUDITOR, Role.ADMIN},
    "readSignedCheckpoint": {Role.AUDITOR, Role.ADMIN},
    "readTile": {Role.AUDITOR, Role.ADMIN},
    "readSession": set(Role),
    "listSessions": set(Role),
    "signOut": set(Role),
    "endSession": set(Role),
    "stepUp": set(Role),
    "changePassword": set(Role),
    "listPeople": {Role.AUDITOR, Role.ADMIN},
    "addPerson": {Role.ADMIN},
    "changePerson": {Role.ADMIN},
    "endPerson": {Role.ADMIN},
    "invitePerson": {Role.ADMIN},
    "resetFactor": {Role.ADMIN},
}
# These ask for no key: confirmations are signed instead, who wants a token shows the key in its form, and people show a
# password or an invitation.
PROVED_OTHERWISE = {
    "confirmDeliveries",
    "issueToken",
    "signIn",
    "enrol",
    "confirmEnrolment",
    "beginSignOn",
    "endSignOn",
    "finishSignOn",
}
OPEN = PROVED_OTHERWISE | {"checkLife", "checkReadiness", "readMetrics"}

OPERATIONS = {str(one.handler.operation_id): one for one in operations(application())}
# In form, and without effect where it is allowed.
HARMLESS: dict[str, Any] = {
    "addPartner": {"name": "x", "adapter": "none such", "settings": {}},
    "draftIncident": {"title": "x", "scope": {}},
    "previewIncident": {"scope": {}},
    "sellDevices": {},
    "returnDevices": {},
    "eraseDevices": {"reason": "x"},
    "addGolden": {"digits": ["x"], "why": "x"},
    "addPerson": {"name": "", "email": "x", "role": "x"},
}


PARTS = (
    "receipt_id",
    "import_id",
    "incident_id",
    "partner_id",
    "capture_id",
    "alert_id",
    "entry_id",
    "proposal_id",
)


def test_every_route_has_an_entry():
    assert set(OPERATIONS) == set(MAY) | OPEN


async def ask(client, one: Operation):
    name = str(one.handler.operation_id)
    path = (
        one.path.replace("{imei}", "490154203237518")
        .replace("{event_id}", "urn:x:none")
        .replace("{name}", "none")
        .replace("{person_id}", "none")
        .replace("{session_id}", "none")
        .replace("{sscc}", "340123450000000018")
        .replace("{device}", "987654321")
        .replace("{day}", "2026-01-01")
        .replace("{place}", "0/999")
    )
    for part in PARTS:
        path = path.replace(f"{{{part}}}", "987654321")
    sent: dict[str, Any] = {}
    if one.form is not None:
        sent = {"json": HARMLESS.get(name, examples.REQUESTS[name])}
    elif one.notes.body:
        sent = {"content": b"{}", "headers": JSON}
    return await client.request(one.method, path, **sent)


@pytest.mark.parametrize("name", MAY)
async def test_no_key(gateway, name):
    response = await ask(gateway["nobody"], OPERATIONS[name])
    refusal(response, 401, "key-missing", OPERATIONS[name].notes.dialect)
    assert response.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("name", MAY)
async def test_role(gateway, name, role):
    response = await ask(gateway[role], OPERATIONS[name])
    if role in MAY[name]:
        assert response.status_code in (200, 201, 204, 400, 404), response.text
    else:
        refusal(response, 403, "permission-missing", OPERATIONS[name].notes.dialect)


@pytest.mark.parametrize("name", sorted(OPEN - PROVED_OTHERWISE))
async def test_no_key_is_wanted(nobody, name):
    assert (await ask(nobody, OPERATIONS[name])).status_code == 200


@pytest.mark.parametrize(
    "key",
    [
        "",
        "Bearer",
        "Bearer x",
        "Basic eDp5",
        "Bearer imei_k_aaaaaaaa_" + "a" * 43,
        b"Bearer \xff\xfe",
    ],
)
async def test_keys_that_are_none(nobody, key):
    for path in ("/v1/status/490154203237518", "/v1/incidents"):
        problem(await nobody.get(path, headers={"authorization": key}), 401)
    for name in ("checkEquipment", "checkImeiStatus", "checkDevice"):
        one = OPERATIONS[name]
        response = await nobody.request(one.method, one.path, headers={"authorization": key})
        refusal(response, 401, "", one.notes.dialect)


async def test_a_key_ends_at_once_when_it_is_revoked(gateway, nobody):
    made = await gateway.new_key(Role.CARRIER)
    headers = {"authorization": f"Bearer {made.key}"}
    assert (await nobody.get("/v1/status/490154203237518", headers=headers)).status_code == 200
    await gateway.revoke(made.key_id)
    problem(await nobody.get("/v1/status/490154203237518", headers=headers), 401, "key-unknown")


async def test_who_is_asked_for_before_what_is_looked_at(nobody):
    problem(await nobody.post("/v1/incidents", content=b"{", headers=JSON), 401)
    problem(await nobody.get("/v1/devices", params={"limit": "x"}), 401)
