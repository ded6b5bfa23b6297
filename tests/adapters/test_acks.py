"""Acknowledgement files as partners write them, well and badly."""

import asyncio
from contextlib import suppress

import pytest

from app.adapters import registry
from app.adapters.contract import Denied, Failing, NoAnswer, OutOfTime
from app.delivery.timed import Timed

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


class Shelf:
    """A place of files, some of which cannot be read or moved."""

    def __init__(self, **wrong):
        self.held = {name(number): line(number) for number in range(1, 71)}
        self.wrong = wrong
        self.reads = []

    def files(self, _):
        return self

    async def names(self):
        return sorted(self.held)

    async def read(self, name):
        self.reads.append(name)
        if fault := self.wrong.get("read", {}).get(name):
            raise fault
        return self.held[name]

    async def move(self, name, to):
        if fault := self.wrong.get("move", {}).get(name):
            raise fault
        del self.held[name]


def name(number):
    return f"imei-{number:012d}-block-key-{number}.csv.ack"


def line(number):
    return f"S{number},done\n".encode()


def _adapter():
    return registry.make("sftp_csv", {"url": "file:///acme", "acknowledged": True})


async def _worked(adapter, shelf):
    """What is booked of a poll, what it says in words, and the fault of putting it away."""
    reports = await adapter.poll(shelf, SINCE)
    fault = None
    try:
        await adapter.put_away([report.name for report in reports], shelf)
    except Failing as error:
        fault = error
    booked = [said.name for report in reports for said in report.confirmations]
    return booked, [report.words for report in reports if report.words], fault


@pytest.mark.parametrize("failing", [1, 2, 60])
async def test_files_that_cannot_be_read_keep_no_other_from_being_booked(failing):
    too_large = {name(number): Failing("the file is larger than 8 MiB") for number in range(1, failing + 1)}
    adapter, shelf = _adapter(), Shelf(read=too_large)
    booked, words = [], []
    for _ in range(4):
        more, said, fault = await _worked(adapter, shelf)
        booked, words = booked + more, words + said
        assert fault is None
    assert sorted(booked) == sorted(f"S{number}" for number in range(failing + 1, 71))
    assert words == ["it cannot be read: the file is larger than 8 MiB"] * failing
    assert set(shelf.held) == set(too_large)
    shelf.reads.clear()
    await _worked(adapter, shelf)
    assert len(shelf.reads) == 1
    too_large.clear()
    for _ in range(3):
        await _worked(adapter, shelf)
    assert shelf.held == {}


async def test_files_that_cannot_be_put_away_are_booked_once_and_hold_nobody_up():
    stuck = {name(number): Failing("we may not do that there") for number in range(1, 56)}
    adapter, shelf = _adapter(), Shelf(move=stuck)
    booked, faults = [], []
    for _ in range(4):
        more, _, fault = await _worked(adapter, shelf)
        booked, faults = booked + more, [*faults, str(fault)]
    assert faults == ["we may not do that there", "we may not do that there", "None", "None"]
    assert sorted(booked) == sorted(f"S{number}" for number in range(1, 71))
    shelf.held[name(1)] += b"S99,done\n"
    stuck.clear()
    for _ in range(60):
        booked += (await _worked(adapter, shelf))[0]
    assert shelf.held == {}
    assert sorted(booked)[-2:] == ["S9", "S99"]
    assert len(booked) == 72


async def test_a_file_over_which_the_partner_hangs_is_read_after_the_others():
    adapter, shelf = _adapter(), Shelf(read={name(1): NoAnswer("timed out after 15 s")})
    assert await _worked(adapter, shelf) == ([], ["it cannot be read: timed out after 15 s"], None)
    booked = [*(await _worked(adapter, shelf))[0], *(await _worked(adapter, shelf))[0]]
    assert len(booked) == 69
    assert await _worked(adapter, shelf) == ([], [], None)


async def test_who_does_not_let_us_in_any_more_is_asked_no_further():
    adapter, shelf = _adapter(), Shelf(read={name(3): Denied("not accepted")})
    assert (await _worked(adapter, shelf))[0] == ["S1", "S2"]
    with pytest.raises(Denied):
        await adapter.poll(shelf, SINCE)
    assert len(shelf.held) == 68


async def test_what_was_read_when_the_time_is_over_is_booked_and_the_rest_comes_next():
    over = {name(4): OutOfTime("its time is over")}
    adapter, shelf = _adapter(), Shelf(read=over)
    assert (await _worked(adapter, shelf))[0] == ["S1", "S2", "S3"]
    over.clear()
    assert (await _worked(adapter, shelf))[0][0] == "S4"


async def test_a_slow_place_is_read_for_its_time_only():
    class Sluggish(Shelf):
        async def read(self, name):
            await asyncio.sleep(0.02)
            return await super().read(name)

    adapter, shelf = _adapter(), Sluggish()
    booked, looks = [], 0
    while shelf.held:
        reports = await adapter.poll(Timed(shelf, 0.3), SINCE)
        assert 0 < len(reports) < 20
        booked += [said.name for report in reports for said in report.confirmations]
        with suppress(OutOfTime):
            await adapter.put_away([report.name for report in reports], Timed(shelf, 0.1))
        looks += 1
    assert looks > 5
    assert sorted(booked) == sorted(f"S{number}" for number in range(1, 71))
