"""Files in a form, and files in a content coding: taken as they are, within limits, and refused with a reason."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import os
import zlib
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from ..load.memory import family
from .asking import CSV, Stock, places, problem, stock
from .conftest import MAX_BODY, MAX_UPLOAD
from .test_connections import exchange, post

# Without the time of day: it would stand in the names of the tests.
gz = partial(gzip.compress, mtime=0)
URL = "/v1/receipts"
FORM = {"content-type": "multipart/form-data; boundary=x"}
FILE = b'Content-Disposition: form-data; name="f"; filename="goods.csv"'
NUMBER = b"imei\n490154203237518\n"
PACKERS = {"gzip": gz, "x-gzip": gz, "deflate": zlib.compress, "GZIP": gz}


def form(*parts: bytes, end: bytes = b"--x--\r\n") -> bytes:
    """A form of these parts, each with its headers; the boundary is `x`."""
    return b"".join(b"--x\r\n" + part + b"\r\n" for part in parts) + end


def file(content: bytes = NUMBER, header: bytes = FILE) -> bytes:
    return header + b"\r\n\r\n" + content


def field(name: str, value: bytes) -> bytes:
    return f'Content-Disposition: form-data; name="{name}"\r\n\r\n'.encode() + value


def ndjson(goods: Stock) -> bytes:
    return "".join(json.dumps({"imeis": phone}) + "\n" for phone in goods.phones).encode()


async def device(client: httpx.AsyncClient, goods: Stock) -> dict[str, str]:
    found: list[dict[str, str]] = (await client.get("/v1/devices", params={"imei": goods.imeis[0]})).json()[
        "devices"
    ]
    return found[0]


async def in_pieces(body: bytes, size: int = 65_536) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


async def entry(admin: httpx.AsyncClient, subject: str) -> dict[str, str]:
    """The detail of the one thing that the audit log says of it."""
    found = (await admin.get("/v1/audit/entries", params={"subject": subject})).json()["entries"]
    assert len(found) == 1
    detail: dict[str, str] = found[0]["body"]["detail"]
    return detail


async def test_a_form_is_registered_as_its_file_is(goods_in):
    goods = stock(3)
    sent = {"whatever": ("goods.csv", goods.csv, "text/csv")}
    answer = await goods_in.post(URL, files=sent)
    assert answer.status_code == 201, answer.text
    assert (answer.json()["registered"], answer.json()["source"]) == (3, "api:csv")
    again = await goods_in.post(URL, content=goods.csv, headers=CSV)
    assert (again.json()["registered"], again.json()["unchanged"]) == (0, 3)


async def test_fields_count_as_if_they_stood_in_the_query(goods_in):
    goods = stock(1)
    csv = f"imei,unit_value\n{goods.imeis[0]},5\n".encode()
    said = {"site": "LYS-é", "owner": "Shop", "currency": "EUR", "kind": "announcement", "declared": "1"}
    said |= {"confirm": "5", "mapping": "", "filename": "x.csv"}
    answer = await goods_in.post(URL, params={"supplier": "Form & Co"}, data=said, files={"f": ("a", csv)})
    assert answer.status_code == 201, answer.text
    read = answer.json()
    assert (read["kind"], read["supplier"], read["declared"]) == ("announcement", "Form & Co", 1)
    found = await device(goods_in, goods)
    assert (found["site"], found["owner"], found["currency"]) == ("LYS-é", "Shop", "EUR")


async def test_fields_may_stand_on_either_side_of_the_file(goods_in):
    goods = stock(1)
    csv = file(f"imei\n{goods.imeis[0]}\n".encode())
    body = form(field("site", b"A-1"), csv, field("owner", b"Shop"))
    assert (await goods_in.post(URL, content=body, headers=FORM)).status_code == 201
    found = await device(goods_in, goods)
    assert (found["site"], found["owner"]) == ("A-1", "Shop")


@pytest.mark.parametrize(
    ("disposition", "sent_as", "said"),
    [
        (b'filename="goods"', b"application/x-ndjson", b""),
        (b'filename="goods.ndjson"', b"application/octet-stream", b""),
        (b"filename=goods.jsonl", b"", b""),
        (b"filename*=UTF-8''Lieferung%20M%C3%A4rz.ndjson", b"", b""),
        (b'filename="M\xe4rz.ndjson"', b"", b""),
        (b'filename="M\xc3\xa4rz.ndjson"', b"", b""),
        (b'filename="goods.ndjson.gz"', b"application/gzip", b""),
        (b'filename="goods.csv"', b"", b"goods.ndjson"),
    ],
)
async def test_the_part_tells_its_format(goods_in, disposition, sent_as, said):
    goods = stock(2)
    # By its beginning it would be a CSV.
    content = b'"x"\n' + ndjson(goods)
    header = b'Content-Disposition: form-data; name="f"; ' + disposition
    header += b"\r\nContent-Type: " + sent_as if sent_as else b""
    packed = gz(content) if b"gzip" in sent_as else content
    parts = [file(packed, header), *([field("filename", said)] if said else [])]
    answer = await goods_in.post(URL, content=form(*parts), headers=FORM)
    assert answer.status_code == 201, answer.text
    assert (answer.json()["source"], answer.json()["registered"]) == ("api:ndjson", 2)


WRONG = {
    "field-unknown": (form(file(), field("colour", b"red")), {"colour": "there are confirm, currency"}),
    "field-of-a-file": (form(field("f", b"imei\n")), {"f": "no such parameter"}),
    "field-without-a-name": (form(file(), b"Content-Disposition: form-data\r\n\r\nx"), {"": "no such"}),
    "field-twice": (form(field("site", b"a"), field("site", b"b"), file()), {"site": "twice"}),
    "field-not-utf-8": (form(field("owner", b"\xff"), file()), {"owner": "UTF-8"}),
    "field-nul": (form(field("owner", b"a\0"), file()), {"owner": "NUL"}),
    "field-no-number": (form(field("declared", b"ten"), file()), {"declared": "a whole number"}),
    "field-of-another-number": (form(field("declared", b"1e3"), file()), {"declared": "in digits alone"}),
    "field-negative": (form(field("confirm", b"-1"), file()), {"confirm": "at least 0"}),
    "field-kind": (form(field("kind", b"gift"), file()), {"kind": "gift"}),
    "field-long": (form(field("supplier", b"a" * 201), file()), {"supplier": "200"}),
    "field-large": (form(field("site", b"a" * 1_000_000), file()), {"site": "4,096 bytes"}),
    "second-file": (form(file(), file()), {"f": "second file"}),
    "base64": (form(file(header=FILE + b"\r\nContent-Transfer-Encoding: base64")), {"f": "base64"}),
    "a-million-fields": (form(file(), *[b'Content-Disposition: form-data; name="a"\r\n\r\n'] * 30_000), {"a": ""}),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
async def test_what_a_form_says_wrongly_is_told_with_its_name(goods_in, name):
    body, wrong = WRONG[name]
    found = places(problem(await goods_in.post(URL, content=body, headers=FORM), 400, "form-wrong"))
    assert set(found) == set(wrong)
    for place, words in wrong.items():
        assert words in found[place]


async def test_what_stands_in_the_query_and_in_the_form_is_refused(goods_in):
    body = form(field("site", b"A"), file())
    answer = await goods_in.post(f"{URL}?site=A", content=body, headers=FORM)
    assert "twice" in places(problem(answer, 400, "form-wrong"))["site"]
    for query, said in (("currency=eurx", ""), ("", "eurx")):
        answer = await goods_in.post(
            f"{URL}?{query}", data={"currency": said} if said else {}, files={"f": NUMBER}
        )
        assert "currency" in places(problem(answer, 400))


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "form-broken"),
        (b"imei\n1\n", "form-broken"),
        (form(), "form-no-file"),
        (form(field("site", b"A")), "form-no-file"),
        (form(file(b"")), "file-empty"),
        (form(file(), end=b""), "form-broken"),
        (form(file(), end=b"--x"), "form-broken"),
        (form(file(), end=b"--xy--"), "form-broken"),
        (form(file())[:-40], "form-broken"),
        (form(file(header=b"X-A: b")), "form-broken"),
        (form(file(header=FILE.replace(b"form-data", b"attachment"))), "form-broken"),
        (form(file(header=FILE + b"\r\nno colon")), "form-broken"),
        (form(file(header=FILE + b"\r\nX: " + b"a" * 1_000_000)), "form-broken"),
        (form(file(header=FILE + b"".join(b"\r\nX-%d: a" % n for n in range(100_000)))), "form-broken"),
        (form(file(header=FILE + b"\r\nContent-Length: 5")), "form-broken"),
        (b"--x\r\n" * 300_000, "form-broken"),
    ],
    ids=lambda value: repr(value[:40]),
)
async def test_forms_that_are_none(goods_in, body, code):
    problem(await goods_in.post(URL, content=body, headers=FORM), 400, code)


async def test_a_boundary_that_is_none(goods_in):
    for said in ("", "; boundary=", '; boundary=""', "; boundary=" + "x" * 71, "; charset=utf-8"):
        headers = {"content-type": f"multipart/form-data{said}"}
        problem(await goods_in.post(URL, content=form(file()), headers=headers), 400, "form-boundary")
    answer = await goods_in.post(
        URL, content=form(file()), headers={"content-type": "multipart/mixed; boundary=x"}
    )
    problem(answer, 415, "body-parts")
    assert "multipart/form-data" in answer.headers["accept"]


async def test_a_form_that_breaks_off_leaves_nothing(gateway, goods_in):
    goods = stock(1)
    body = form(file(goods.csv))
    head = post(gateway, URL, FORM["content-type"], f"Content-Length: {len(body)}")
    await exchange(gateway, head + body[:-8], then="leave")
    assert (await goods_in.get("/v1/devices", params={"imei": goods.imeis[0]})).json()["devices"] == []


async def test_who_may_not_is_told_before_the_form_is_looked_at(manager):
    problem(await manager.post(URL, content=b"--", headers=FORM), 403, "permission-missing")


@pytest.mark.parametrize("chunked", [False, True])
async def test_bodies_over_the_limit(goods_in, chunked):
    noise = hashlib.shake_256(b"noise").digest(MAX_UPLOAD)
    for body, headers in (
        (form(file(b" " * MAX_UPLOAD)), FORM),
        (gz(noise), {**CSV, "content-encoding": "gzip"}),
    ):
        content = in_pieces(body) if chunked else body
        found = problem(await goods_in.post(URL, content=content, headers=headers), 413, "body-too-large")
        assert f"{MAX_UPLOAD:,} bytes" in found["detail"]


async def test_a_packed_document_is_as_large_as_it_unpacks_to(goods_in):
    document = b'{"devices": []}' + b" " * MAX_BODY
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    answer = await goods_in.post(URL, content=gz(document), headers=headers)
    assert "as NDJSON or CSV" in problem(answer, 413, "body-too-large")["detail"]


@pytest.mark.parametrize("coding", PACKERS)
async def test_a_body_in_a_content_coding_is_registered(goods_in, coding):
    pack, goods = PACKERS[coding], [stock(2) for _ in range(5)]
    in_form = form(field("site", b"LYS-2"), file(f"imei\n{goods[4].imeis[0]}\n".encode()))
    document = json.dumps({"devices": [{"imeis": phone} for phone in goods[2].phones]}).encode()
    for body, sent_as, source, count in (
        (pack(goods[0].csv), CSV, "api:csv", 2),
        (pack(ndjson(goods[1])), {"content-type": "application/x-ndjson"}, "api:ndjson", 2),
        (pack(document), {"content-type": "application/json"}, "api:json", 2),
        (pack(gz(goods[3].csv)), {}, "api:csv", 2),
        (pack(in_form), FORM, "api:csv", 1),
    ):
        for size in (100_000, 7):
            headers = {**sent_as, "content-encoding": coding}
            answer = await goods_in.post(URL, content=in_pieces(body, size), headers=headers)
            assert answer.status_code == 201, answer.text
            read = answer.json()
            assert (read["source"], read["registered"] + read["unchanged"]) == (source, count)
    assert (await device(goods_in, goods[4]))["site"] == "LYS-2"


async def test_a_packed_body_of_several_members_is_one_file(goods_in):
    csv = stock(4).csv
    body = gz(csv[:90]) + gz(b"") + gz(csv[90:]) + bytes(512)
    answer = await goods_in.post(URL, content=body, headers={**CSV, "content-encoding": "gzip"})
    assert (answer.status_code, answer.json()["registered"]) == (201, 4)


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", b""),
        ("gzip", NUMBER),
        ("gzip", gz(NUMBER)[:-1]),
        ("gzip", gz(NUMBER)[:-8] + bytes(8)),
        ("gzip", gz(NUMBER) + b"and more"),
        ("gzip", zlib.compress(NUMBER)),
        ("deflate", zlib.compress(NUMBER)[2:-4]),
        ("deflate", zlib.compress(NUMBER)[:-1]),
        ("deflate", zlib.compress(NUMBER) * 2),
        ("deflate", gz(NUMBER)),
    ],
    ids=lambda value: repr(value[:12]),
)
async def test_a_coding_that_is_broken(goods_in, coding, body):
    answer = await goods_in.post(URL, content=body, headers={**CSV, "content-encoding": coding})
    assert f"'{coding}'" in problem(answer, 400, "coding-broken")["detail"]


@pytest.mark.parametrize(
    "said", [["br"], ["zstd"], ["gzip, gzip"], ["gzip, identity"], ["gzip", "gzip"], ["gzip;q=1"]]
)
async def test_other_codings_and_several_are_refused(admin, said):
    headers = [("content-type", "text/csv"), *(("content-encoding", one) for one in said)]
    for path in (URL, "/v1/tacs"):
        answer = await admin.post(path, content=gz(NUMBER), headers=headers)
        problem(answer, 415, "body-compressed")
        assert answer.headers["accept-encoding"] == "gzip, x-gzip, deflate"


async def test_a_tac_database_comes_in_a_form_and_in_a_coding(admin):
    body = b"tac,brand,model\n35871001,Formland,Phone X\n"
    done = await admin.post("/v1/tacs", data={"source": "formed"}, files={"db": ("tac.csv", body)})
    assert (done.status_code, done.json()["source"], done.json()["imported"]) == (201, "formed", 1)
    one, other = body.replace(b"Phone X", b"Phone Y"), body.replace(b"Phone X", b"Phone Z")
    parts = form(field("replace", b"true"), file(other))
    for sent, content, headers, updated in (
        (one, gz(one), {**CSV, "content-encoding": "gzip"}, 0),
        (other, gz(parts), {**FORM, "content-encoding": "gzip"}, 1),
    ):
        done = await admin.post("/v1/tacs", content=content, headers=headers)
        assert (done.status_code, done.json()["updated"]) == (201, updated), done.text
        detail = await entry(admin, f"tac-import:{done.json()['import_id']}")
        assert detail["sha256"] == hashlib.sha256(sent).hexdigest()
    answer = await admin.post("/v1/tacs", data={"replace": "perhaps"}, files={"db": body})
    assert "replace" in places(problem(answer, 400, "form-wrong"))


async def test_what_is_kept_of_a_file_is_its_own_digest_however_it_came(admin):
    csv, packed = stock(1).csv, gz(stock(1).csv)
    for sent, body, headers in (
        (csv, csv, CSV),
        (packed, packed, CSV),
        (csv, form(file(csv)), FORM),
        (csv, gz(csv), {**CSV, "content-encoding": "gzip"}),
        (packed, gz(form(file(packed))), {**FORM, "content-encoding": "gzip"}),
    ):
        answer = await admin.post(URL, content=in_pieces(body, 100), headers=headers)
        assert answer.status_code == 201, answer.text
        detail = await entry(admin, f"receipt:{answer.json()['receipt_id']}")
        assert detail["sha256"] == hashlib.sha256(sent).hexdigest()


async def test_the_same_bytes_under_a_key_are_done_once(goods_in):
    csv = stock(1).csv
    packed, key = gz(csv, mtime=0), {"idempotency-key": str(uuid4())}
    headers = {**CSV, **key, "content-encoding": "gzip"}
    first = await goods_in.post(URL, content=packed, headers=headers)
    again = await goods_in.post(URL, content=packed, headers=headers)
    assert (first.status_code, again.content) == (201, first.content)
    assert again.headers["idempotency-replayed"] == "true"
    other = gz(csv, mtime=1)
    problem(await goods_in.post(URL, content=other, headers=headers), 422)
    problem(await goods_in.post(URL, content=packed, headers={**CSV, **key}), 422)


async def test_the_same_form_under_a_key_is_done_once(goods_in):
    csv, key = stock(1).csv, {"idempotency-key": str(uuid4())}

    async def sent(content: bytes = csv, name: str = "goods.csv", **fields: str) -> httpx.Response:
        """With another boundary each time."""
        return await goods_in.post(URL, files={"file": (name, content)}, data=fields, headers=key)

    first = await sent(site="PAR-1", owner="ACME")
    again = await sent(owner="ACME", site="PAR-1")
    assert (first.status_code, again.content) == (201, first.content)
    assert again.headers["idempotency-replayed"] == "true"
    problem(await sent(csv + b"\n", site="PAR-1", owner="ACME"), 422)
    problem(await sent(name="other.csv", site="PAR-1", owner="ACME"), 422)
    problem(await sent(site="PAR-2", owner="ACME"), 422)
    problem(await sent(site="PAR-1"), 422)


async def test_an_upload_is_spooled_beside_the_data(gateway, goods_in):
    async def slowly():
        yield b"imei1\n"
        await asyncio.sleep(1)
        yield b"490154203237518\n"

    sending = asyncio.create_task(goods_in.post("/v1/receipts", content=slowly(), headers=CSV))
    await asyncio.sleep(0.6)
    (pid,) = gateway.running.pids("web")
    held = [os.readlink(path) for child in family(pid) for path in Path(f"/proc/{child}/fd").iterdir()]
    assert [path for path in held if "/spool/" in path and path.endswith("(deleted)")]
    assert (await sending).status_code == 201
