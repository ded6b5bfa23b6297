"""What load balancers and monitoring ask, without a key."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from app.api.dialects import camara, device_check, n5g_eir
from app.api.figures import KEPT

from .asking import problem, refusal
from .conftest import serving
from .test_epcis import document, event

IMEI = "490154203237518"
# The same question in each dialect.
DIALECTS = [
    ("GET", f"/n5g-eir-eic/v1/equipment-status?pei=imei-{IMEI}", None, n5g_eir.DIALECT),
    ("POST", "/device-authenticity/vwip/check-status", {"imei": IMEI}, camara.DIALECT),
    ("POST", "/device-check/v1/query", {"deviceid": IMEI}, device_check.DIALECT),
]


async def test_it_lives_and_can_serve(nobody):
    assert (await nobody.get("/health/live")).json() == {"status": "live"}
    assert (await nobody.get("/health/ready?probe=1")).json() == {"status": "ready"}


async def collected(nobody: httpx.AsyncClient, wanted: str) -> str:
    """The figures, once they tell this: they are made anew every two seconds."""
    async with asyncio.timeout(10):
        while wanted not in (text := (await nobody.get("/metrics")).text):
            await asyncio.sleep(0.2)
    return text


async def test_figures_are_collected(nobody, carrier):
    await carrier.get("/v1/status/490154203237518")
    route = 'imei_gateway_http_seconds_count{method="GET",route="/v1/status/{imei}",status="200"}'
    text = await collected(nobody, route)
    assert (await nobody.get("/metrics")).headers["content-type"].startswith("text/plain")
    assert "imei_gateway_audit_unsealed" in text
    assert "490154203237518" not in text


async def test_strangers_make_no_figures_of_their_own(nobody):
    for number in range(30):
        await nobody.request(f"FROB{number}", "/health/live")
    for method in ("PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"):
        await nobody.request(method, "/v1/partners/7/parked")
        await nobody.request(method, "/v1/tacs/imports")
    await nobody.get("/v1/keys/never/asked/with/a/key")
    await nobody.get("/v1/partners/7/parked")
    figures = await collected(nobody, 'http_seconds_count{method="any",route="refused",status="405"}')
    assert "FROB" not in figures
    assert "OPTIONS" not in figures
    assert 'status="405"' not in figures.replace('route="refused",status="405"', "")
    assert 'route="/v1/partners/{partner_id}/parked",status="401"' not in figures


async def test_figures_are_made_once_however_many_ask(nobody):
    async def one() -> str:
        return (await nobody.get("/metrics")).text

    began = time.monotonic()
    texts = await asyncio.gather(*(one() for _ in range(40)))
    assert len(set(texts)) <= 2 + (time.monotonic() - began) / KEPT


async def test_each_answer_has_an_id_of_its_own(nobody):
    ids = {
        (await nobody.get(path)).headers["x-request-id"] for path in ("/health/live", "/health/live", "/nope")
    }
    assert len(ids) == 3


class Door:
    """A socket on the way to the database, which can be shut."""

    def __init__(self, dsn: str) -> None:
        self.folder = tempfile.mkdtemp(prefix="door")
        self._way = parse_qs(urlsplit(dsn).query)["host"][0]
        self.dsn = dsn.replace(self._way, self.folder)
        self._writers: set[asyncio.StreamWriter] = set()

    async def open(self) -> None:
        name = ".s.PGSQL.5432"
        self._socket, self._beyond = f"{self.folder}/{name}", f"{self._way}/{name}"
        self._server = await asyncio.start_unix_server(self._pass, self._socket)

    def shut(self) -> None:
        self._server.close()
        Path(self._socket).unlink()
        for writer in self._writers:
            writer.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        beyond, answer = await asyncio.open_unix_connection(self._beyond)
        self._writers |= {writer, answer}
        await asyncio.gather(_pump(reader, answer), _pump(beyond, writer), return_exceptions=True)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


@pytest.fixture
def door(cluster) -> Iterator[Door]:
    made = Door(cluster)
    yield made
    shutil.rmtree(made.folder)


async def test_a_database_that_is_away_is_503_and_passes(cluster, template, tmp_path, door):
    await door.open()
    async with serving(cluster, template, tmp_path, "web", through=door.folder) as alone:
        paths = ["/health/ready", "/v1/status/490154203237518", "/v1/incidents", "/v1/devices?serial=A"]
        assert [(await alone["admin"].get(path)).status_code for path in paths] == [200] * 4
        door.shut()
        assert (await alone["nobody"].get("/health/live")).status_code == 200
        for path in paths:
            response = await alone["admin"].get(path)
            problem(response, 503, "database-away")
            assert response.headers["retry-after"] == "2"
        for method, path, sent, dialect in DIALECTS:
            response = await alone["admin"].request(method, path, json=sent)
            refusal(response, 503, "", dialect)
            assert response.headers["retry-after"] == "2"
        said = {"title": "t", "scope": {"serials": ["AWAY"]}}
        problem(await alone["admin"].post("/v1/incidents", json=said), 503, "database-away")
        await door.open()
        assert [(await alone["admin"].get(path)).status_code for path in paths] == [200] * 4
        assert (await alone["admin"].get("/v1/incidents")).json()["incidents"] == []
    door.shut()


async def test_events_that_wait_for_a_worker_are_counted(cluster, template, tmp_path):
    async with serving(cluster, template, tmp_path, "web") as alone:
        answer = await alone["goods-in"].post("/epcis/capture", json=document(event()))
        assert answer.status_code == 202
        figures = (await alone["nobody"].get("/metrics")).text
        assert "imei_gateway_captures_waiting 1.0" in figures
