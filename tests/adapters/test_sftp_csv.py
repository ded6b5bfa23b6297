"""CSV files, with the partner's own columns, words and names."""

from app.adapters import registry
from app.adapters.contract import Op

from .conftest import SINCE, imeis, serials
from .drops import left


async def test_csv_names_serials_and_imeis(drop):
    partner = await drop("sftp_csv")
    await partner.tell(Op.BLOCK, (*imeis(2), *serials(2)))
    said = await partner.acknowledged()
    assert {name for name, *_ in said} == {order.name for order in (*imeis(2), *serials(2))}
    assert partner.stage.ledger.state("R58M000001") == "blocked"


async def test_csv_columns_words_and_names_are_the_partners():
    adapter = registry.make("sftp_csv", {
        "url": "file:///acme", "delimiter": ";", "file_name": "{op}.{key}.txt",
        "columns": ["No.=imei14", "Art=op", "Grund=reason", "Fall=reference", "Seit=since", "V=version", "K=key"],
        "ops": {"block": "SPERREN"}, "reasons": {"theft": "Diebstahl; \"schwer\""},
    })  # fmt: skip
    files, _ = await left(adapter, reference="7", since=SINCE)
    (body,) = files.values()
    assert list(files) == ["block.key-1.txt"]
    assert body.decode().split("\r\n") == [
        "No.;Art;Grund;Fall;Seit;V;K",
        '35000000000000;SPERREN;"Diebstahl; ""schwer""";7;2026-03-01T02:03:04Z;1;key-1',
        '35000000000001;SPERREN;"Diebstahl; ""schwer""";7;2026-03-01T02:03:04Z;1;key-1',
        "",
    ]


async def test_csv_without_a_column_for_serials_refuses_them_in_words():
    adapter = registry.make("sftp_csv", {"url": "file:///acme", "columns": ["imei=imei"]})
    files, answers = await left(adapter, orders=(*imeis(1), *serials(1)))
    assert [answer.outcome for answer in answers] == ["done", "refused"]
    assert "scope" in answers[1].words
    assert list(files.values()) == [b"imei\r\n350000000000006\r\n"]
    assert (await left(adapter, orders=serials(1)))[0] == {}
