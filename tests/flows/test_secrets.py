"""Partners' secrets from the outside: keys that are made, missed and replaced; and a secret that is found nowhere."""

from __future__ import annotations

import base64
import json
import secrets
import socket
import stat
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyotp
import pytest

from app.access import people
from app.core.config import Settings
from app.core.db import Connection
from app.core.keyring import Keyring, load

from ..authority import Authority
from .command import Commands, Gateway

SECRET = "whsec_" + base64.b64encode(b"of-a-webhook-that-nobody-may-see").decode()
SECRETS = {
    "password": "correct-horse-battery-staple",
    "api_token": "token.that.nobody.may.see.zq7",
    "secret": SECRET,
    "provisioning_key": "rows.may.be.changed.by.this.zq9",
    "previous_secret": "whsec_" + base64.b64encode(b"the-one-from-before-zq8zq8zq8zq8").decode(),
}
NAMED = {
    "eir_rest": {"provisioning_key": SECRETS["provisioning_key"]},
    "ceir": {"username": "gateway", "password": SECRETS["password"]},
    "webhook": {"secret": SECRET, "previous_secret": SECRETS["previous_secret"]},
    "knox_guard": {"api_token": SECRETS["api_token"], "email": "a@b.example", "webhook_secret": SECRET},
}
IMEI = "490154203237518"


@pytest.fixture
def gateway(tmp_path: Path) -> Gateway:
    return Gateway(tmp_path / "data")


def test_a_first_start_makes_a_key_for_its_owner_alone(gateway: Gateway) -> None:
    path = gateway.data_dir / "secrets.key"
    with gateway.started("up", "--port", "0", until="Administrator key"):
        key = path.read_text()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        gateway.told(*_adding("Nord", "ceir"), "--setting", "url=https://ceir.example")
        assert gateway.told("secrets", "rotate")["sealed"] == []
    with gateway.started("up", "--port", "0", until="Data directory"):
        assert path.read_text() == key
        assert key.strip() not in gateway.said


def _adding(name: str, kind: str) -> list[str]:
    pairs = [part for pair in NAMED[kind].items() for part in ("--setting", "=".join(pair))]
    return ["partner", "add", name, "--adapter", kind, *pairs]


def test_a_partner_is_given_our_certificate_and_its_authority(desk: Commands, tmp_path: Path) -> None:
    authority = Authority()
    files = {"ca": authority.pem, **authority.issue("gateway.example")._asdict()}
    options = []
    for name, text in files.items():
        (tmp_path / name).write_text(text)
        options += [f"--{name.replace('_', '-')}", str(tmp_path / name)]
    told = desk.told(*_adding("Mutual", "ceir"), "--setting", "url=https://ceir.example", *options)
    assert told["tls"].pop("expires_at") > "2026"
    assert told["tls"] == {**files, "private_key": "•••"}
    assert told["allow_private"] is False
    (tmp_path / "private_key").write_bytes(b"\xff\xfe")
    refused = desk.run(*_adding("Other", "ceir"), "--setting", "url=https://ceir.example", *options)
    assert refused.returncode == 1
    assert "private_key is not text" in refused.stderr


def test_keys_are_replaced_while_everything_goes_on(desk: Commands) -> None:
    old = desk.environ(None)["IMEI_GATEWAY_SECRETS_KEY"]
    desk.told(*_adding("Nord", "ceir"), "--setting", "url=https://ceir.example")
    desk.told(*_adding("Sud", "webhook"), "--setting", "url=https://hook.example")
    desk.told("partner", "add", "Open", "--adapter", "eir_push", "--setting", "url=https://eir.example")
    new = desk.told("secrets", "new-key")["key"]
    desk._environ["IMEI_GATEWAY_SECRETS_KEY"] = f"{new},{old}"
    assert desk.told("secrets", "rotate")["sealed"] == ["Nord", "Sud"]
    assert desk.run("secrets", "rotate").stdout.startswith("0 partners sealed anew")
    desk._environ["IMEI_GATEWAY_SECRETS_KEY"] = new
    assert desk.told("secrets", "rotate")["failed"] == {}
    # The old one alone opens nothing any more, and says so.
    desk._environ["IMEI_GATEWAY_SECRETS_KEY"] = old
    failed = desk.run("secrets", "rotate")
    assert failed.returncode == 1
    assert "Nord: The secret at partner" in failed.stderr
    assert new not in failed.stderr


async def test_second_factors_and_what_waits_are_sealed_anew_too(desk: Commands, conn: Connection) -> None:
    old, now = desk.environ(None)["IMEI_GATEWAY_SECRETS_KEY"], datetime.now(UTC)
    approver = desk.told("key", "create", "--name", "Marie", "--role", "approver")["key"]
    said = ("--name", "Ann", "--email", "ann@retailer.example", "--role", "auditor")
    token = desk.told("person", "add", *said)["token"]
    chosen = await people.choose(conn, token, "x", ring(old), now, secrets.token_bytes)
    code = pyotp.TOTP(chosen.secret).at(now)
    ann, _ = await people.confirm(conn, token, code, ring(old), now, secrets.token_bytes)
    waits = desk.run(*_adding("Nord", "ceir"), "--setting", "url=https://ceir.example", "--json")
    new = desk.told("secrets", "new-key")["key"]
    desk._environ["IMEI_GATEWAY_SECRETS_KEY"] = f"{new},{old}"
    rotated = desk.told("secrets", "rotate")
    assert (rotated["second_factors"], rotated["proposals"]) == (1, 1)
    desk._environ["IMEI_GATEWAY_SECRETS_KEY"] = new
    again = desk.told("secrets", "rotate")
    assert (again["second_factors"], again["proposals"], again["failed"]) == (0, 0, {})
    later = now + timedelta(seconds=60)
    who = await people.by_id(conn, ann.person_id)
    assert who
    assert await people.shows_code(conn, who, pyotp.TOTP(chosen.secret).at(later), ring(new), later)
    number = str(json.loads(waits.stdout)["proposal"]["id"])
    assert desk.told("proposal", "approve", number, key=approver)["state"] == "done"
    desk._environ["IMEI_GATEWAY_SECRETS_KEY"] = old
    assert desk.run("secrets", "rotate").returncode == 1


def ring(key: str) -> Keyring:
    return load(Settings(data_dir=Path(), secrets_key=key), secrets.token_bytes)


def test_without_a_key_no_secret_is_stored_on_a_database_of_ones_own(desk: Commands) -> None:
    del desk._environ["IMEI_GATEWAY_SECRETS_KEY"]
    refused = desk.run(*_adding("Nord", "ceir"), "--setting", "url=https://ceir.example")
    assert refused.returncode == 1
    assert "There is no key to seal partners' secrets with: set IMEI_GATEWAY_SECRETS_KEY" in refused.stderr
    assert SECRETS["password"] not in refused.stderr
    assert desk.told("partner", "list")["partners"] == []
    desk.told("partner", "add", "Open", "--adapter", "eir_push", "--setting", "url=https://eir.example")
    assert desk.run("secrets", "rotate").returncode == 1
    # What holds no secret waits for others all the same.
    desk.told("key", "create", "--name", "Marie", "--role", "approver")
    assert desk.run("key", "create", "--name", "Paul", "--role", "approver").returncode == 7


def test_a_key_that_is_none_ends_the_service_with_a_sentence(desk: Commands, tmp_path: Path) -> None:
    desk._environ["IMEI_GATEWAY_SECRETS_KEY"] = "correct-horse"
    for command in (("serve", "--port", "0"), ("work",)):
        ended = desk.run(*command, "--data-dir", str(tmp_path))
        assert ended.returncode == 1
        assert "IMEI_GATEWAY_SECRETS_KEY holds what is no key" in ended.stderr
        assert "correct-horse" not in ended.stderr


class Gossip(BaseHTTPRequestHandler):
    """A partner that fails, and repeats all that it was told: in its words, its headers and its reason."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        said = json.dumps({"error": str(self.headers), "secrets": list(SECRETS.values())}).encode() + body
        status = 401 if "401" in self.path else 500
        self.send_response(status, f"Not with {SECRETS['password']}")
        self.send_header("x-heard", self.headers.get("authorization", SECRET))
        self.send_header("content-length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    do_PUT = do_GET = do_POST

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def gossip() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Gossip)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()


class Ear:
    """Asks the gateway as its administrator, and keeps every answer."""

    def __init__(self, url: str, key: str) -> None:
        self.url, self._key = url, key
        self.heard = b""

    def ask(self, method: str, path: str, said: object = None) -> Any:
        body = json.dumps(said).encode() if said is not None else None
        headers = {"authorization": f"Bearer {self._key}", "content-type": "application/json"}
        request = urllib.request.Request(self.url + path, body, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                text = answer.read()
                self.heard += str(answer.headers).encode() + text
        except urllib.error.HTTPError as error:
            text = error.read()
            self.heard += str(error.headers).encode() + text
        return json.loads(text) if text[:1] in b"{[" else text


def test_a_secret_is_found_in_no_answer_no_log_and_no_byte_on_the_disk(
    gateway: Gateway, gossip: str, tmp_path: Path
) -> None:
    ours = Authority().issue("gateway.example")
    with (tmp_path / "log").open("w") as log:
        gateway._environ |= {"IMEI_GATEWAY_LOG_LEVEL": "debug"}
        process = subprocess.Popen(
            gateway.command("up", "--port", "0"),
            env=gateway.environ(None),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        assert process.stdout
        for line in process.stdout:
            gateway.said += line
            if "Administrator key" in line:
                break
        ear = Ear(gateway.url, (gateway.data_dir / "admin.key").read_text().strip())
        approver = gateway.told("key", "create", "--name", "Paul", "--role", "approver")["key"]
        _go_wrong(ear, approver, gossip, ours._asdict())
        process.terminate()
        gateway.said += process.stdout.read()
        assert process.wait(60) == 0
    hidden = _hidden(ours.private_key)
    places = {"answers": ear.heard, "output": gateway.said.encode()}
    places |= {
        str(path): path.read_bytes()
        for path in [tmp_path / "log", *gateway.data_dir.rglob("*")]
        if path.is_file()
    }
    assert b"delivery.attempted" in ear.heard
    assert any("/pg_wal/" in place for place in places)
    found = {(place, name) for place, held in places.items() for name, it in hidden.items() if it in held}
    assert not found


def _hidden(private_key: str) -> dict[str, bytes]:
    """What may be nowhere: each secret, what stands in its place on the wire, and the key's own lines."""
    forms = {name: value.encode() for name, value in SECRETS.items()}
    forms["basic"] = base64.b64encode(f"gateway:{SECRETS['password']}".encode())
    forms["previous, bare"] = SECRETS["previous_secret"].removeprefix("whsec_").encode()
    return forms | {f"key {n}": line.encode() for n, line in enumerate(private_key.splitlines()[1:-1])}


def _go_wrong(ear: Ear, approver: str, gossip: str, pair: dict[str, str]) -> None:
    """Every partner fails in its own way; then everything is asked that can be asked."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{free.getsockname()[1]}"
    numbers, other = [], Ear(ear.url, approver)
    for name, kind, url in [
        ("fails", "ceir", gossip), ("refuses", "ceir", f"{gossip}/401"), ("away", "webhook", dead),
        ("gossips", "webhook", gossip), ("brand", "knox_guard", gossip), ("rows", "eir_rest", gossip),
        ("no TLS", "knox_guard", gossip.replace("http:", "https:")),
    ]:  # fmt: skip
        said = {"name": name, "adapter": kind, "settings": {"url": url, **NAMED[kind]}, "allow_private": True}
        waits = ear.ask("POST", "/v1/partners", {**said, "tls": pair})
        added = other.ask("POST", f"/v1/proposals/{waits['id']}/approve", {"digest": waits["digest"]})
        numbers.append(int(added["place"].removeprefix("partner:")))
    _refused(ear, numbers[0], pair)
    ear.ask("POST", "/v1/receipts", {"devices": [{"imeis": [IMEI]}]})
    incident = ear.ask("POST", "/v1/incidents", {"title": "Night", "scope": {"imeis": [IMEI]}})["id"]
    ear.ask("POST", f"/v1/incidents/{incident}/submit")
    other.ask("POST", f"/v1/incidents/{incident}/approve")
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        listed = ear.ask("GET", "/v1/partners")["partners"]
        if all(one["last_fault"] or one["paused"] for one in listed):
            break
        time.sleep(0.2)
    assert all(one["last_fault"] or one["paused"] for one in listed), listed
    paths = [f"/v1/partners/{number}" for number in numbers]
    paths += [
        "/v1/adapters",
        "/v1/proposals",
        f"/v1/incidents/{incident}",
        "/v1/audit/entries?limit=1000",
        "/metrics",
        "/openapi.json",
    ]
    for path in paths:
        ear.ask("GET", path)
    ear.heard += other.heard


def _refused(ear: Ear, number: int, pair: dict[str, str]) -> None:
    """Answers that say what is wrong beside a secret, or with it."""
    path = f"/v1/partners/{number}"
    wrong = [{"settings": {"password": [value]}} for value in SECRETS.values()]
    wrong += [
        {"tls": {"private_key": pair["private_key"] + "x", "certificate": "x"}},
        {"tls": {"private_key": ""}},
    ]
    wrong += [
        {"settings": {"secret": SECRET}},
        {"settings": {"password": SECRETS["password"], "url": "ftp://x"}},
    ]
    for said in wrong:
        assert ear.ask("PATCH", path, said)["status"] == 400
    ear.ask("PATCH", path, {"settings": {"password": SECRETS["password"]}})
    ear.ask("POST", "/v1/partners", {"name": "fails", "adapter": "ceir", "settings": NAMED["ceir"]})
