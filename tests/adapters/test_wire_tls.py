"""TLS on the way out: who is believed, by which certificate we are known, and what is refused."""

import os
import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.adapters.contract import NoAnswer
from app.core.errors import Invalid
from app.delivery import tls
from app.delivery.tls import Tls

from ..authority import Authority, server, show
from .speaking import OK, saying, speaking, wired

NOW = datetime.now(UTC)
# With TLS 1.3 the other side says no after we have begun to send; whether its words arrive is chance.
_TURNED_AWAY = (
    "connection reset by peer",
    "connection closed without an answer",
    "TLS: tlsv13 alert certificate required",
    "TLS: tlsv1 alert unknown ca",
)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


async def _closing(_reader, writer, _head):
    writer.write(OK)
    await writer.drain()
    writer.close()


async def _answer(url: str, spoken: Tls) -> bytes:
    async with wired(deadline=3, tls=tls.context(spoken)) as wire:
        return (await wire.send("POST", url.replace("127.0.0.1", "localhost"), body=b"secret")).body


async def _fault(url: str, spoken: Tls) -> str:
    with pytest.raises(NoAnswer) as caught:
        await _answer(url, spoken)
    return str(caught.value)


async def test_a_partner_is_believed_by_its_own_authority(authority, tmp_path):
    async with speaking(saying(OK), server(authority.issue(), tmp_path)) as url:
        assert await _answer(url, Tls(ca=authority.pem)) == b"ok"
        said = await _fault(url, Tls(ca=Authority("Another").pem))
        assert said == "TLS: unable to get local issuer certificate"
        assert await _fault(url, Tls()) == "TLS: unable to get local issuer certificate"


@pytest.mark.parametrize(
    ("issued", "words"),
    [
        ({"since": -3, "until": -1}, "TLS: certificate has expired"),
        ({"since": 1, "until": 3}, "TLS: certificate is not yet valid"),
        ({"host": "other.example"}, "TLS: Hostname mismatch"),
        ({"own": True}, "TLS: self-signed certificate"),
    ],
)
async def test_a_certificate_that_does_not_hold_is_refused(authority, tmp_path, issued, words):
    heard = []

    async def speak(_reader, writer, head):
        heard.append(head)
        writer.write(OK)

    async with speaking(speak, server(authority.issue(**issued), tmp_path)) as url:
        assert (await _fault(url, Tls(ca=authority.pem))).startswith(words)
    assert heard == []


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
async def test_an_old_protocol_is_refused(authority, tmp_path):
    old = server(authority.issue(), tmp_path)
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    async with speaking(saying(OK), old) as url:
        # The server would do it with whoever lowers their guard.
        naive = ssl.create_default_context(cadata=authority.pem)
        naive.set_ciphers("ALL:@SECLEVEL=0")
        naive.minimum_version = ssl.TLSVersion.TLSv1
        async with wired(tls=naive) as wire:
            assert (await wire.send("POST", url.replace("127.0.0.1", "localhost"))).status == 200
        said = await _fault(url, Tls(ca=authority.pem))
        assert said == "connection closed in the TLS handshake" or said.startswith("TLS: ")


async def test_a_certificate_that_is_replaced_while_we_run_is_judged_anew(authority, tmp_path):
    spoken = server(authority.issue(), tmp_path)
    async with speaking(_closing, spoken) as address, wired(tls=tls.context(Tls(ca=authority.pem))) as wire:
        url = address.replace("127.0.0.1", "localhost")
        assert (await wire.send("POST", url)).status == 200
        show(spoken, authority.issue(until=9), tmp_path)
        assert (await wire.send("POST", url)).status == 200
        show(spoken, Authority("Another").issue(), tmp_path)
        with pytest.raises(NoAnswer, match="TLS: "):
            await wire.send("POST", url)
        show(spoken, authority.issue(), tmp_path)
        assert (await wire.send("POST", url)).status == 200


async def test_a_partner_that_demands_our_certificate_gets_it(authority, tmp_path):
    subjects = []

    async def speak(_reader, writer, _head):
        subjects.append(dict(pair[0] for pair in writer.get_extra_info("peercert")["subject"]))
        writer.write(OK)

    clients = Authority("For us")
    ours, strange = clients.issue("gateway.example"), authority.issue("gateway.example")
    async with speaking(speak, server(authority.issue(), tmp_path, clients=clients.pem)) as url:
        known = Tls(ca=authority.pem, certificate=ours.certificate, private_key=ours.private_key)
        assert await _answer(url, known) == b"ok"
        assert subjects == [{"commonName": "gateway.example"}]
        assert (await _fault(url, Tls(ca=authority.pem))) in _TURNED_AWAY
        stranger = Tls(ca=authority.pem, certificate=strange.certificate, private_key=strange.private_key)
        assert (await _fault(url, stranger)) in _TURNED_AWAY
    assert len(subjects) == 1


def test_a_private_key_leaves_no_file_and_no_descriptor(authority, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    held = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        tls.context(Tls(**authority.issue()._asdict()))
    assert len(os.listdir("/proc/self/fd")) <= held + 1
    assert list(Path(tmp_path).iterdir()) == []


def _flaws(**given: str) -> dict[str, str]:
    with pytest.raises(Invalid) as caught:
        tls.checked(given, NOW)
    secret = given.get("private_key", "")
    said = {flaw.pointer: flaw.detail for flaw in caught.value.flaws}
    assert not secret or secret not in str(said) + str(caught.value)
    return said


def test_what_fits_is_saved(authority):
    ours = authority.issue()
    assert tls.checked({}, NOW) == Tls()
    assert tls.checked({"ca": authority.pem + Authority().pem}, NOW).ca
    made = tls.checked({"ca": authority.pem, **ours._asdict()}, NOW)
    assert made.private_key == ours.private_key
    assert tls.checked({**ours._asdict(), "certificate": ours.certificate + authority.pem}, NOW).certificate


def test_what_does_not_fit_is_told_where_it_stands(authority):
    ours, other = authority.issue(), authority.issue()
    assert _flaws(ca="no PEM").keys() == {"/ca"}
    assert _flaws(certificate="no PEM", private_key="neither").keys() == {"/certificate", "/private_key"}
    assert _flaws(certificate=ours.certificate).keys() == {"/private_key"}
    assert _flaws(private_key=ours.private_key).keys() == {"/certificate"}
    assert (
        "not that of" in _flaws(certificate=ours.certificate, private_key=other.private_key)["/private_key"]
    )
    assert _flaws(cacert="x").keys() == {"/cacert"}
    assert _flaws(ca="-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").keys() == {"/ca"}


def test_a_certificate_out_of_its_time_is_told_with_the_date(authority):
    old, early = authority.issue(since=-3, until=-2), authority.issue(since=2, until=3)
    (said,) = _flaws(**old._asdict()).values()
    assert f"has expired at {tls.expires_at(old.certificate):%Y-%m-%d %H:%M} UTC" in said
    (said,) = _flaws(**early._asdict()).values()
    assert "is valid from" in said


def test_what_openssl_would_not_take_is_not_saved():
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(65537, 1024)
    name = x509.Name([])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 7, NOW, NOW.replace(year=NOW.year + 1))
    weak = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
    form = serialization.PrivateFormat.PKCS8
    text = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()
    (said,) = _flaws(certificate=weak, private_key=text).values()
    assert said == "OpenSSL does not take it: ee key too small."


def test_people_see_no_private_key(authority):
    ours = authority.issue()
    shown = tls.public({"ca": authority.pem, **ours._asdict()})
    assert shown["private_key"] == "•••"
    assert (shown["ca"], shown["certificate"]) == (authority.pem, ours.certificate)
    assert shown["expires_at"] == tls.expires_at(ours.certificate)
    assert set(tls.prints({"ca": authority.pem, **ours._asdict()})) == {"ca", "certificate"}
