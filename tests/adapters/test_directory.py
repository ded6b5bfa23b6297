"""Files in a directory of this machine: nothing half-written, nothing outside, nothing that hangs."""

import asyncio
import os
import threading
import time

import pytest

from app.adapters.contract import Denied, Failing, NoAnswer, Place
from app.delivery.contacts import Witnessed
from app.delivery.wire import HttpWire


@pytest.fixture
async def wire(tmp_path):
    (tmp_path / "root" / "dirbs" / "in").mkdir(parents=True)
    wire = HttpWire(deadline=2, files_root=str(tmp_path / "root"))
    yield wire
    await wire.close()


@pytest.fixture
def inside(tmp_path):
    return tmp_path / "root" / "dirbs" / "in"


@pytest.fixture
def files(wire):
    return wire.files(Place("file:///dirbs/in"))


async def test_what_is_written_stands_there_whole_and_is_read_again(files, inside):
    await files.write("b.csv", b"two")
    await files.write("a.csv", b"one")
    await files.write("b.csv", b"three")
    assert await files.names() == ["a.csv", "b.csv"]
    assert await files.read("b.csv") == b"three"
    assert sorted(os.listdir(inside)) == ["a.csv", "b.csv"]


async def test_a_file_moves_below_and_replaces_one_of_that_name(files, inside):
    for body in (b"one", b"two"):
        await files.write("a.csv", body)
        await files.move("a.csv", "done/2031/a.csv")
    assert await files.names() == []
    assert (inside / "done" / "2031" / "a.csv").read_bytes() == b"two"


async def test_what_is_no_file_or_hidden_is_not_seen(files, inside, tmp_path):
    (tmp_path / "secret").write_text("secret")
    (inside / ".hidden").write_text("x")
    (inside / "folder").mkdir()
    (inside / "link").symlink_to(tmp_path / "secret")
    (inside / "two\nlines").write_text("x")
    os.mkfifo(inside / "pipe")
    assert await files.names() == []
    for name in ("link", "folder", "pipe", "missing"):
        with pytest.raises(Failing):
            await files.read(name)


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "../x", "a/b", "a\x00b", "a\nb", "x" * 256])
async def test_a_name_that_is_none_is_refused(files, name):
    for call in (
        files.read(name),
        files.write(name, b""),
        files.move(name, "x"),
        files.move("x", f"in/{name}"),
    ):
        with pytest.raises(Failing):
            await call


@pytest.mark.parametrize(
    "url", ["file:///../root/dirbs/in", "file:///dirbs/%2e%2e/%2e%2e", "ftp://host/x", "/etc"]
)
async def test_a_place_that_leads_elsewhere_is_denied(wire, url):
    with pytest.raises(Denied):
        wire.files(Place(url))


@pytest.mark.parametrize("where", ["out", "dirbs/out", "out/inner"])
async def test_no_link_leads_out(wire, tmp_path, where):
    """Neither the directory itself nor one on the way to it may be a link."""
    (tmp_path / "elsewhere" / "inner").mkdir(parents=True)
    (tmp_path / "elsewhere" / "inner" / "secret").write_text("secret")
    link = tmp_path / "root" / where.removesuffix("/inner")
    link.symlink_to(tmp_path / "elsewhere")
    files = wire.files(Place(f"file:///{where}"))
    for call in (files.names(), files.read("secret"), files.write("x", b""), files.move("secret", "x")):
        with pytest.raises(Failing):
            await call
    assert os.listdir(tmp_path / "elsewhere" / "inner") == ["secret"]


async def test_a_move_follows_no_link(files, inside, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (inside / "done").symlink_to(tmp_path / "elsewhere")
    await files.write("a.csv", b"")
    with pytest.raises(Failing):
        await files.move("a.csv", "done/a.csv")
    assert os.listdir(tmp_path / "elsewhere") == []


async def test_without_a_root_no_directory_is_used():
    wire = HttpWire()
    with pytest.raises(Denied, match="IMEI_GATEWAY_FILES_ROOT"):
        wire.files(Place("file:///dirbs/in"))
    await wire.close()


async def test_a_directory_that_is_missing_is_told_and_not_made(wire, tmp_path):
    files = wire.files(Place("file:///nobody"))
    with pytest.raises(Failing, match="no such file or directory") as caught:
        await files.write("a.csv", b"")
    assert str(tmp_path) not in repr(caught.value)
    assert not (tmp_path / "root" / "nobody").exists()


async def test_a_file_may_be_as_large_as_the_cap(files, inside):
    (inside / "fits").write_bytes(b"x" * 8 * 2**20)
    (inside / "large").write_bytes(b"x" * (8 * 2**20 + 1))
    assert len(await files.read("fits")) == 8 * 2**20
    with pytest.raises(Failing, match="larger than 8 MiB"):
        await files.read("large")


async def test_nobody_ever_sees_half_of_a_file(files, inside):
    """A partner that looks all the time finds each file whole or not at all."""
    seen, stop = set(), threading.Event()

    def look() -> None:
        while not stop.is_set():
            seen.update(
                (entry.name, entry.stat().st_size) for entry in os.scandir(inside) if entry.name[0] != "."
            )

    looker = threading.Thread(target=look)
    looker.start()
    for size in range(20):
        await files.write("orders.csv", bytes(10_000_000 + size))
    stop.set()
    looker.join()
    assert seen <= {("orders.csv", 10_000_000 + size) for size in range(20)}
    assert len(seen) > 1


async def test_what_failed_leaves_nothing_behind(files, inside):
    (inside / "taken").mkdir()
    with pytest.raises(Failing):
        await files.write("taken", b"x")
    assert os.listdir(inside) == ["taken"]


@pytest.fixture
def slow_disk(monkeypatch):
    """A disk on which a write is safe only when the event is set."""
    safe, sync = threading.Event(), os.fsync

    def slowly(file: int) -> None:
        safe.wait(10)
        sync(file)

    monkeypatch.setattr(os, "fsync", slowly)
    return safe


async def test_what_is_given_up_does_not_appear_later(files, inside, slow_disk):
    task = asyncio.create_task(files.write("a.csv", b"old"))
    await asyncio.sleep(0.2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    slow_disk.set()
    await files.write("b.csv", b"new")
    async with asyncio.timeout(5):
        while len(os.listdir(inside)) > 1:
            await asyncio.sleep(0.01)
    assert os.listdir(inside) == ["b.csv"]


async def test_a_disk_that_hangs_holds_neither_the_call_nor_anybody_else(tmp_path, inside, wire, slow_disk):
    impatient = HttpWire(deadline=0.3, files_root=str(tmp_path / "root"))
    stuck = impatient.files(Place("file:///dirbs/in"))
    began = time.monotonic()
    faults = await asyncio.gather(*(stuck.write(f"{n}.csv", b"") for n in range(20)), return_exceptions=True)
    assert {str(fault) for fault in faults} == {"timed out after 0.3 s"}
    assert {type(fault) for fault in faults} == {NoAnswer}
    assert await wire.files(Place("file:///dirbs/in")).names() == []
    await impatient.close()
    assert time.monotonic() - began < 2
    slow_disk.set()


async def test_the_audit_is_told_hashes_and_no_contents(wire):
    witnessed = Witnessed(wire)
    files = witnessed.files(Place("file:///dirbs/in"))
    await files.write("a.csv", b"abc")
    await files.read("a.csv")
    await files.move("a.csv", "done/a.csv")
    with pytest.raises(Failing):
        await files.read("a.csv")
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert witnessed.exchanges == [
        {"file": "a.csv", "sha256": digest, "did": "written"},
        {"file": "a.csv", "did": "read", "sha256": digest},
        {"file": "a.csv", "to": "done/a.csv", "did": "moved"},
        {"file": "a.csv"},
    ]
