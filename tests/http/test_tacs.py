"""Brand and model by TAC over HTTP: imported by an administrator, and seen on devices, in the preview, by partners."""

from __future__ import annotations

import hashlib

import pytest

from app.core import imei
from app.sandbox.ledger import State

from .asking import CSV, decided, places, problem, register, stock
from .conftest import MAX_UPLOAD
from .test_partners import SECRET

# Each test has TACs of its own: what is imported once is known to all of them.
NORD, HALDANE, OXBOW = 35_880001, 35_880002, 35_880003


def lines(*rows: str) -> bytes:
    return "\n".join(("tac,brand,model", *rows, "")).encode()


async def imported(admin, body: bytes, **query: str) -> dict:
    response = await admin.post("/v1/tacs", content=body, headers=CSV, params=query)
    assert response.status_code == 201, response.text
    assert response.headers["location"] == f"/v1/tacs/imports/{response.json()['import_id']}"
    return response.json()


def counts(done: dict) -> tuple[int, ...]:
    return tuple(done[name] for name in ("lines", "imported", "unchanged", "updated", "rejected", "warnings"))


async def test_a_file_is_imported_and_the_same_again_changes_nothing(admin, auditor):
    body = lines("35870001,Nordlys,Phone X", "35870002,Haldane,", "12,Nordlys,Phone X")
    first = await imported(admin, body, source="ours")
    assert (first["source"], first["format"], first["replaces"]) == ("ours", "csv", False)
    assert counts(first) == (3, 2, 0, 0, 1, 0)
    again = await imported(admin, body, source="ours")
    assert counts(again) == (3, 0, 2, 0, 1, 0)
    read = (await auditor.get(f"/v1/tacs/imports/{first['import_id']}")).json()
    assert read == first
    (entry,) = (
        await auditor.get("/v1/audit/entries", params={"subject": f"tac-import:{first['import_id']}"})
    ).json()["entries"]
    detail = entry["body"]["detail"]
    assert (entry["body"]["kind"], detail["imported"]) == ("tac.imported", 2)
    assert detail["sha256"] == hashlib.sha256(body).hexdigest()


async def test_every_form_is_recognised_whatever_it_is_sent_as(admin):
    forms = {
        "osmocom": b"some title\ntac,name,name,comment\n35870101,Nordlys,Phone X,\n",
        "gsma": b"TAC|Marketing Name|Manufacturer|Brand Name\n35870102|Phone Y|Nordlys A/S|Nordlys\n",
    }
    for form, body in forms.items():
        for sent_as in ("text/csv", "text/plain", "application/octet-stream", "application/json"):
            response = await admin.post("/v1/tacs", content=body, headers={"content-type": sent_as})
            assert (response.status_code, response.json()["format"]) == (201, form)
        assert response.json()["source"] == form
    found = (await admin.get("/v1/tacs", params={"tac": "35870101"})).json()["tacs"]
    assert [(it["brand"], it["model"], it["source"]) for it in found] == [("Nordlys", "Phone X", "osmocom")]


async def test_what_was_found_comes_in_pages(admin, manager):
    await imported(admin, lines(*(f"3587020{n},Nordlys,Phone {n}" for n in range(5))))
    rows = [f"3587020{n},Nordlys,Slab {n}" for n in range(4)]
    done = await imported(admin, lines(*rows, "5870204,Oxbow,Plain", "x,y,z"), source="theirs")
    assert counts(done) == (6, 1, 0, 0, 5, 1)
    found, cursor = [], "0"
    while cursor:
        page = (await manager.get(done["findings_url"], params={"limit": 2, "cursor": cursor})).json()
        found += [(it["line"], it["verdict"], it["code"]) for it in page["findings"]]
        cursor = page["next"]
    assert sorted(found) == [
        *((n, "rejected", "tac-known-differently") for n in range(2, 6)),
        (6, "warning", "tac-zero-restored"), (7, "rejected", "tac-not-digits"),
    ]  # fmt: skip
    done = await imported(admin, lines(*rows), source="theirs", replace="true")
    assert (done["updated"], done["replaces"]) == (4, True)
    page = (await manager.get(done["findings_url"], params={"verdict": "updated"})).json()
    assert "is 'Slab 0' now; it was 'Phone 0'" in page["findings"][0]["sentence"]
    assert (await manager.get(done["findings_url"], params={"verdict": "rejected"})).json()["findings"] == []


async def test_tacs_are_found_by_number_imei_and_brand(admin, goods_in):
    await imported(admin, lines(*(f"3587030{n},Gilded Fox,Phone {n}" for n in range(5))))
    found, cursor = [], "0"
    while cursor:
        query = {"brand": "GILDED  fox", "limit": 2, "cursor": cursor}
        page = (await goods_in.get("/v1/tacs", params=query)).json()
        found += [it["tac"] for it in page["tacs"]]
        cursor = page["next"]
    assert found == [f"3587030{n}" for n in range(5)]
    page = (await goods_in.get("/v1/tacs", params={"tac": imei.full(35870303_000001)})).json()
    assert [it["model"] for it in page["tacs"]] == ["Phone 3"]
    assert (await goods_in.get("/v1/tacs", params={"tac": "35870399"})).json() == {"tacs": [], "next": None}
    problem(await goods_in.get("/v1/tacs", params={"tac": "3587030"}), 400, "tac-malformed")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "file-empty"),
        (b"tac,brand\n", "file-empty"),
        (b"a,b\n1,2\n", "header-wrong"),
        (b"\0\xff", "header-wrong"),
    ],
)
async def test_files_that_are_none(admin, body, code):
    problem(await admin.post("/v1/tacs", content=body), 400, code)


async def test_requests_that_cannot_be_read(admin):
    body = lines("35870401,Nordlys,Phone X")
    for query, place in (({"replace": "perhaps"}, "replace"), ({"source": "a\x01"}, "source")):
        assert place in places(problem(await admin.post("/v1/tacs", content=body, params=query), 400))
    assert "verdict" in places(
        problem(await admin.get("/v1/tacs/imports/1/findings", params={"verdict": "odd"}), 400)
    )
    for place in ("", "/findings"):
        problem(await admin.get(f"/v1/tacs/imports/999999{place}"), 404, "missing")
    form = {"content-type": "multipart/form-data; boundary=x"}
    problem(await admin.post("/v1/tacs", content=body, headers=form), 400, "form-broken")
    packed = {"content-encoding": "br"}
    problem(await admin.post("/v1/tacs", content=body, headers=packed), 415, "body-compressed")
    problem(await admin.post("/v1/tacs", content=b" " * (MAX_UPLOAD + 1)), 413, "body-too-large")
    assert (await admin.get("/v1/tacs", params={"tac": "35870401"})).json()["tacs"] == []


async def test_brands_on_devices_in_the_preview_and_with_partners(
    admin, goods_in, manager, approver, practice, until
):
    """Each of two brand partners gets exactly its own, and is told of its release although its brand has changed."""
    stages = {}
    for name, brand in (("Nord", "Nordström"), ("Haldane", "HALDANE")):
        stages[name], settings = await practice("webhook")
        said = {
            "name": name,
            "adapter": "webhook",
            "settings": {**settings, "secret": settings.get("secret", SECRET)},
            "allow_private": True,
            "scope": {"kinds": ["imei"], "brands": [brand]},
        }
        made = await admin.post("/v1/partners", json=said)
        assert made.status_code == 201, made.text
        assert made.json()["scope"]["brands"] == [brand.casefold()]
    goods = [stock(2, tac=tac) for tac in (NORD, HALDANE, OXBOW)]
    for some in goods:
        some.lines = [line.replace("Phone X", "") for line in some.lines[:1]] + some.lines[1:]
        await register(goods_in, some)
    rows = (f"{NORD},NORDSTRÖM,Aurora", f"{HALDANE},Haldane,Slab", f"{OXBOW},Oxbow,")
    await imported(admin, lines(*rows), source="ours")

    (device,) = (await manager.get("/v1/devices", params={"imei": goods[0].imeis[0]})).json()["devices"]
    assert (device["brand"], device["model"]) == ("NORDSTRÖM", "")
    pallets = [some.pallet for some in goods]
    draft = await manager.post("/v1/incidents", json={"title": "Brands", "scope": {"pallets": pallets}})
    preview, number = draft.json()["preview"], draft.json()["id"]
    assert preview["by_brand"] == [
        {"brand": "Haldane", "devices": 2, "identifiers": 4},
        {"brand": "NORDSTRÖM", "devices": 2, "identifiers": 4},
        {"brand": "Oxbow", "devices": 2, "identifiers": 4},
    ]
    assert {(it["brand"], it["model"], it["devices"]) for it in preview["by_model"]} == {
        ("NORDSTRÖM", "Aurora", 1), ("NORDSTRÖM", "Phone X", 1), ("Haldane", "Slab", 1),
        ("Haldane", "Phone X", 1), ("Oxbow", f"TAC {OXBOW}", 1), ("Oxbow", "Phone X", 1),
    }  # fmt: skip

    await decided(manager, number, "submit")
    await decided(approver, number, "approve")
    read = await until(manager, f"/v1/incidents/{number}", lambda answer: answer["settled"])
    wanted = {it["partner"]: it["block"]["wanted"] for it in read["partners"]}
    assert wanted == {"Nord": 4, "Haldane": 4}
    for name, some in (("Nord", goods[0]), ("Haldane", goods[1])):
        assert _blocked(stages[name]) == sorted(number[:14] for number in some.imeis)

    await imported(admin, lines(f"{NORD},Haldane,"), source="ours")
    await decided(manager, number, "lift", scope={"pallets": pallets})
    read = await until(manager, f"/v1/incidents/{number}", lambda answer: answer["settled"])
    assert {it["partner"]: it["release"]["wanted"] for it in read["partners"]} == {"Nord": 4, "Haldane": 8}
    assert _blocked(stages["Nord"]) == _blocked(stages["Haldane"]) == []


def _blocked(stage) -> list[str]:
    return sorted(name[:14] for name in stage.ledger.page(State.BLOCKED, "", 1000))


SCOPES = [
    ({"brands": [" "]}, "/scope/brands/0"),
    ({"kinds": ["imei"], "brands": ["Nordlys", "a\u200bb"]}, "/scope/brands/1"),
    ({"brands": ["Nordlys"]}, "/scope"),
    ({"kinds": ["serial"], "brands": ["Nordlys"]}, "/scope"),
]


@pytest.mark.parametrize(("scope", "place"), SCOPES)
async def test_scopes_that_are_refused(admin, scope, place):
    said = {"name": "Scope", "adapter": "webhook", "scope": scope}
    said["settings"] = {"url": "https://hook.example", "secret": SECRET}
    assert set(places(problem(await admin.post("/v1/partners", json=said), 400))) == {place}


async def test_a_scope_can_only_grow(admin):
    said = {"name": "Grows", "adapter": "webhook", "scope": {"kinds": ["imei"], "brands": ["Quiet Brand"]}}
    said["settings"] = {"url": "https://hook.example", "secret": SECRET}
    url = (await admin.post("/v1/partners", json=said)).headers["location"]
    scope = {"kinds": ["imei"], "brands": ["QUIET brand", "Other Quiet Brand"], "tacs": ["99999999"]}
    grown = await admin.patch(url, json={"scope": scope})
    assert grown.json()["scope"]["brands"] == ["other quiet brand", "quiet brand"]
    same = await admin.patch(url, json={"scope": {"kinds": ["imei"]}})
    assert same.json()["scope"] == grown.json()["scope"]
    for smaller in ({**scope, "brands": ["quiet brand"]}, {**scope, "brands": []}, {"brands": None}):
        problem(await admin.patch(url, json={"scope": smaller}), 409, "scope-shrinks")
