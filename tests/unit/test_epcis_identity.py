"""Identifiers of events in every form that they come in, and what each is to us."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core import gs1, imei
from app.epcis import identity
from app.epcis.identity import BadEpc, Epc
from app.epcis.words import DISPOSITIONS, REASONS, STEPS, word

IMEI = 49015420323751
PALLET = "106141412345678908"
GTIN = "09506000134352"


@pytest.mark.parametrize(
    "uri",
    [
        "urn:gsma:imei:49015420-323751-0",
        "urn:gsma:imei:49015420-323751-8",
        "URN:GSMA:IMEI:49015420-323751-0",
        "https://id.gs1.org/8002/490154203237518",
        "https://shop.example/path/8002/490154203237518?x=1",
    ],
)
def test_an_imei(uri):
    found = identity.epc(uri)
    assert (found.imei, found.gtin, found.serial, found.pallet) == (IMEI, "", "", "")
    assert found.names == ("imei:49015420323751",)


@pytest.mark.parametrize(
    "uri",
    [
        "https://id.gs1.org/01/09506000134352/21/490154203237518",
        "https://id.gs1.org/01/09506000134352/22/2A/10/LOT/21/490154203237518",
        "urn:epc:id:sgtin:9506000.013435.490154203237518",
    ],
)
def test_an_imei_as_the_serial_of_a_gtin(uri):
    found = identity.epc(uri)
    assert (found.imei, found.gtin, found.serial) == (IMEI, GTIN, "")
    assert found.names == ("imei:49015420323751", f"01:{GTIN}:21:490154203237518")


@pytest.mark.parametrize(
    ("uri", "serial"),
    [
        ("https://id.gs1.org/01/09506000134352/21/T2201", "T2201"),
        ("urn:epc:id:sgtin:9506000.013435.T2201", "T2201"),
        ("https://id.gs1.org/01/09506000134352/21/A%2FB", "A/B"),
        ("urn:epc:id:sgtin:9506000.013435.A%2FB", "A/B"),
        # Wrong check digit, and no reporting body: numbers like these are serials.
        ("https://id.gs1.org/01/09506000134352/21/490154203237517", "490154203237517"),
        ("https://id.gs1.org/01/09506000134352/21/" + imei.full(77015420323751), imei.full(77015420323751)),
    ],
)
def test_a_serial(uri, serial):
    found = identity.epc(uri)
    assert (found.imei, found.gtin, found.serial) == (None, GTIN, serial)
    assert found.names == (f"01:{GTIN}:21:{serial}",)
    assert found.is_device


@pytest.mark.parametrize(
    "uri",
    [
        "urn:epc:id:sscc:0614141.1234567890",
        f"https://id.gs1.org/00/{PALLET}",
        f"http://id.gs1.org/00/{PALLET}",
        f"https://wms.example/x/00/{PALLET}",
    ],
)
def test_a_pallet(uri):
    found = identity.epc(uri)
    assert (found.pallet, found.is_device) == (PALLET, False)
    assert found.names == (f"00:{PALLET}",)


@pytest.mark.parametrize(
    "uri",
    [
        "urn:epc:id:giai:4000001.111",
        "https://id.gs1.org/8003/00614141234561AB",
        "https://example.com/orders/01/2",
        "https://example.com/00/12",
        "https://id.gs1.org/01/09506000134352",
        "mac:001122334455",
    ],
)
def test_what_is_nothing_of_ours_is_its_own_name(uri):
    found = identity.epc(uri)
    assert (found.is_device, found.pallet, found.names) == (False, "", (uri,))


@pytest.mark.parametrize(
    ("uri", "code"),
    [
        ("", "epc-malformed"),
        ("490154203237518", "epc-malformed"),
        ("urn:gsma:imei: 49015420", "epc-malformed"),
        ("urn:x:" + "y" * 2000, "epc-malformed"),
        ("urn:gsma:imei:49015420-323751-7", "imei-check-digit"),
        ("urn:gsma:imei:4901542-0323751-0", "imei-not-digits"),
        ("urn:epc:id:sscc:0614141.123456789", "sscc-malformed"),
        ("https://id.gs1.org/00/1234", "sscc-malformed"),
        ("urn:epc:id:sgtin:0614141.12345.1", "sgtin-malformed"),
        ("https://id.gs1.org/01/09506000134352/21/" + "9" * 21, "sgtin-malformed"),
    ],
)
def test_what_cannot_be_right(uri, code):
    with pytest.raises(BadEpc, match=r"would|fails") as error:
        identity.epc(uri)
    assert error.value.code == code


@given(st.text(max_size=80))
def test_any_text_is_an_epc_or_a_bad_one(text):
    try:
        found: object = identity.epc(text)
    except BadEpc as error:
        found = str(error)
    assert isinstance(found, Epc) or str(found).isprintable()


@given(st.integers(0, 10**12 - 1), st.integers(6, 12))
def test_both_forms_of_a_unit_have_one_name(number, length):
    body = f"{number:012d}"
    prefix, reference = body[:length], body[length:]
    gtin = f"1{prefix}{reference}"
    gtin += str(gs1.check_digit(gtin))
    urn = identity.epc(f"urn:epc:id:sgtin:{prefix}.1{reference}.S-1")
    assert urn.names == identity.epc(f"https://id.gs1.org/01/{gtin}/21/S-1").names


@pytest.mark.parametrize(
    ("uri", "site"),
    [
        ("https://id.gs1.org/414/9506000134369", "9506000134369"),
        ("https://id.gs1.org/414/9506000134369/254/HALL-4", "9506000134369.HALL-4"),
        ("https://id.gs1.org/414/9506000134369/254/0", "9506000134369"),
        ("urn:epc:id:sgln:9506000.13436.0", "9506000134369"),
        ("urn:epc:id:sgln:9506000.13436.HALL-4", "9506000134369.HALL-4"),
        ("urn:epc:id:sgln:9506000.1343.0", "urn:epc:id:sgln:9506000.1343.0"),
        ("https://wms.example/dock/4", "https://wms.example/dock/4"),
    ],
)
def test_a_site(uri, site):
    assert identity.site(uri) == site


@pytest.mark.parametrize(
    ("value", "vocabulary", "bare"),
    [
        ("receiving", STEPS, "receiving"),
        ("https://ref.gs1.org/cbv/BizStep-receiving", STEPS, "receiving"),
        ("urn:epcglobal:cbv:bizstep:receiving", STEPS, "receiving"),
        ("cbv:BizStep-receiving", STEPS, "receiving"),
        ("https://ref.gs1.org/cbv/Disp-stolen", DISPOSITIONS, "stolen"),
        ("urn:epcglobal:cbv:er:did_not_occur", REASONS, "did_not_occur"),
        ("https://wms.example/steps/weighing", STEPS, "https://wms.example/steps/weighing"),
        ("my:weighing", STEPS, "my:weighing"),
        ("weighing", STEPS, None),
        ("stolen", STEPS, None),
        ("https://ref.gs1.org/cbv/Disp-stolen", STEPS, None),
        ("https://ref.gs1.org/cbv/BizStep-weighing", STEPS, None),
        ("urn:epcglobal:cbv:bizstep:", STEPS, None),
        ("Receiving", STEPS, None),
    ],
)
def test_words(value, vocabulary, bare):
    assert word(value, vocabulary) == bare
