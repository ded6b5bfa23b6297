"""Acknowledgement files as partners write them, well and badly."""

from app.adapters import registry
from app.adapters.contract import Failing

from .conftest import SINCE


async def _report(body: bytes, **settings):
    """What is read of an acknowledgement with these contents."""
    adapter = registry.make("sftp_csv", {"url": "file:///acme", "acknowledged": True} | settings)

    class Files:
        async def names(self):
            return ["imei-000000000009-release-key-1.csv.ack"]

        async def read(self, name):
            if body is None:
                raise Failing("the file is larger than 8 MiB")
            return body

    class Wire:
        def files(self, _):
            return Files()

    (report,) = await adapter.poll(Wire(), SINCE)
    return [(it.name, it.op, it.answer) for it in report.confirmations], report


async def test_an_acknowledgement_is_read_by_its_columns_and_results():
    body = '\ufeff"Result";"IMEI";"Why"\r\n"00";"350000000000006";"ok"\r\n12;R58M000001;"no; never"\r\n\r\n7;35;x\r\n'
    said, report = await _report(
        body.encode(),
        ack_delimiter=";",
        ack_identifier=2,
        ack_result=1,
        ack_results={"00": "done", "12": "refused"},
    )
    assert [(name, op, answer.outcome, answer.code, answer.words) for name, op, answer in said] == [
        ("350000000000006", "release", "done", "00", "ok"),
        ("R58M000001", "release", "refused", "12", "no; never"),
    ]
    assert {answer.ref for *_, answer in said} == {"imei-000000000009-release-key-1.csv"}
    assert report.words == "1 line was not understood"


async def test_what_contradicts_itself_says_nothing_of_anybody():
    said, report = await _report(b"350000000000006,done\n35000000000000,refused\nA,done\nA,done\n")
    assert [name for name, *_ in said] == ["A"]
    assert report.words == "what it says of 1 of the identifiers contradicts itself"


async def test_an_acknowledgement_without_end_is_read_as_far_as_a_file_of_ours_may_go():
    lines = [f"S{number},done\n" for number in range(12_000)]
    said, report = await _report("".join(lines).encode())
    assert (len(said), report.words) == (
        10_000,
        "it is longer than any file of ours: 2,000 lines were not read",
    )
    said, report = await _report(b"\n" * 8_000_000)
    assert (said, report.words) == ([], "it is longer than any file of ours: 7,980,001 lines were not read")


async def test_one_that_cannot_be_read_is_told_and_not_lost():
    said, report = await _report(None)
    assert said == []
    assert report.words == "it cannot be read: the file is larger than 8 MiB"
