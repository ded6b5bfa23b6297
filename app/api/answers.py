"""Examples of answers."""

from __future__ import annotations

from typing import Any

from app.api.examples import PHONE


def _unclaimed(number: str, status: str) -> dict[str, Any]:
    """What is said of an identifier that no incident claims."""
    return {"imei": number, "status": status, "since": None, "reason": None, "reference": None, "version": 0}


ANSWERS: dict[str, Any] = {
    "registerDevices": {
        "receipt_id": 9,
        "source": "api:csv",
        "kind": "arrival",
        "supplier": "",
        "received_at": "2026-12-21T09:12:44.018Z",
        "received_by": "key:k_dock (Dock 4)",
        "declared": None,
        "rows": 2,
        "registered": 2,
        "updated": 0,
        "arrived": 0,
        "unchanged": 0,
        "rejected": 0,
        "warnings": 0,
        "rejections_url": "/v1/receipts/9/rejections",
        "rejects_url": "/v1/receipts/9/rejects",
        "warnings_url": "/v1/receipts/9/warnings",
        "updates_url": "/v1/receipts/9/updates",
    },
    "listReceipts": {
        "receipts": [
            {
                "receipt_id": 8,
                "source": "api:xlsx",
                "kind": "announcement",
                "supplier": "ACME",
                "received_at": "2026-12-20T16:02:10.552Z",
                "received_by": "key:k_dock (Dock 4)",
                "declared": 200,
                "rows": 200,
                "registered": 199,
                "updated": 0,
                "arrived": 0,
                "unchanged": 0,
                "rejected": 1,
                "warnings": 0,
            }
        ],
        "next": None,
    },
    "findDevices": {
        "devices": [
            {
                "id": 17,
                **PHONE,
                "outermost": "340123450000000018",
                "brand": "Nordlys",
                "receipt_id": 9,
                "registered_at": "2026-12-21T09:12:44.018Z",
                "arrived": True,
                "sold_at": None,
                "erased_at": None,
                "left_at": "2026-12-22T01:35:00Z",
                "seen_at": "2026-12-21T18:00:00Z",
                "status": "blocked",
            }
        ],
        "next": None,
    },
    "askStatus": {
        "imei": "490154203237518",
        "status": "blocked",
        "since": "2026-12-22T02:41:07.512Z",
        "reason": "stolen",
        "reference": "IG-5B1F0C93A7E2",
        "version": 1,
        "as_of": 93_412,
    },
    "askStatuses": {
        "results": [
            {
                "imei": "009900990001010",
                "status": "blocked",
                "since": "2026-01-01T00:00:00Z",
                "reason": "stolen",
                "reference": "IG-TEST00STOLEN",
                "version": 1,
            },
            {
                "imei": "00990099000200",
                "status": "suspect",
                "since": "2026-01-01T00:00:00Z",
                "reason": "stolen",
                "reference": "IG-TEST0SUSPECT",
                "version": 0,
            },
            _unclaimed("0099009900030001", "clear"),
            _unclaimed("009900990004006", "unknown"),
        ],
        "serials": [],
        "as_of": 93_412,
    },
    "followBlocklist": {
        "changes": [
            {
                "position": 93_412,
                "status": "blocked",
                "at": "2026-12-22T02:41:07.512Z",
                "reason": "stolen",
                "reference": "IG-5B1F0C93A7E2",
                "version": 1,
                "imei": "49015420323751",
            }
        ],
        "cursor": "YmxvY2tsaXN0OjkzNDEy",
        "reached": 93_412,
        "as_of": 93_412,
    },
    "checkEquipment": {"status": "BLACKLISTED"},
    "tryPartner": {
        "partner_id": 1,
        "partner": "National register",
        "adapter": "ceir",
        "identifier": "009900990000012",
        "kind": "imei",
        "steps": [
            {
                "op": op,
                "key": f"try-1-20261222T024107512000-{op}",
                "exchanges": [
                    {
                        "method": "POST",
                        "address": f"https://ceir.example/ceir/block/{verb}",
                        "request_sha256": digest,
                        "ms": 41.2,
                        "status": 200,
                    }
                ],
                "ms": 41.9,
                "outcome": "done",
                "code": "200",
                "words": "accepted",
                "ref": "",
                "fault": "",
            }
            for op, verb, digest in (("block", "add", "9f" * 32), ("release", "remove", "1c" * 32))
        ],
        "taken": True,
        "still_blocked": "no",
        "verdict": "National register took it: 009900990000012 was blocked and released again.",
    },
    "watchIncident": 'event: progress\ndata: {"id":7,"state":"approved","settled":false,…}\n\n'
    'event: settled\ndata: {"id":7,"state":"approved","settled":true,…}\n\n',
}
