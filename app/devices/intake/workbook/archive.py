"""The ZIP that an XLSX file is: each part comes as blocks, within limits that hold whatever the ZIP declares.

Every damage ends in Invalid `xlsx-broken`, every excess in TooLarge `xlsx-too-large`.
"""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, BinaryIO, cast

from app.core.errors import Invalid, TooLarge
from app.core.imei import shown

ZIP = (b"PK\x03\x04", b"PK\x05\x06")
OLD_EXCEL = b"\xd0\xcf\x11\xe0"
BLOCK = 65_536
# A million rows of twenty columns are about as much.
UNPACKED_LIMIT = 1024**3

# The directory is held in memory, at about a kilobyte for each of its entries.
_DIRECTORY_LIMIT = 512 * 1024
# Rows of a sheet shrink to a tenth, wide ones that are much alike to a two hundredth; nothing but zeros shrinks to a
# thousandth.
_RATIO_LIMIT = 400
_RATIO_FREE = 16 * 1024**2
_SAVE_AGAIN = "Save it again in Excel, as 'Excel Workbook (.xlsx)', and send that."
_DAMAGE = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, RuntimeError, ValueError, OverflowError,
)  # fmt: skip


def broken(what: str) -> Invalid:
    """The refusal of a damaged workbook; `what` is a sentence without its full stop."""
    return Invalid(f"{what}. {_SAVE_AGAIN}", "xlsx-broken")


def old_excel() -> Invalid:
    """The refusal of what begins like an old workbook, or like one with a password."""
    sentence = "The file is a workbook of old Excel (.xls), or one with a password."
    return Invalid(
        f"{sentence} Save it as 'Excel Workbook (.xlsx)' without a password, or as CSV, and send that.",
        "format-unknown",
    )


class Archive:
    """The parts of a ZIP by name, in any case. `source` can seek and begins where it stands.

    Raises Invalid `format-unknown`, `xlsx-broken` and TooLarge `xlsx-too-large`, as does the reading of a part.
    """

    def __init__(self, source: BinaryIO) -> None:
        head = source.read(4)
        if head.startswith(OLD_EXCEL):
            raise old_excel()
        if not head.startswith(ZIP):
            sentence = "The file is no XLSX workbook: it does not begin like one."
            raise Invalid(f"{sentence} Send what it is, such as CSV, or save it as XLSX.", "format-unknown")
        try:
            self._zip = zipfile.ZipFile(cast(IO[bytes], _Guarded(source)))
        except _DAMAGE as error:
            raise broken(f"The workbook is cut off or damaged ({shown(str(error), 80)})") from error
        self._parts: dict[str, zipfile.ZipInfo] = {}
        self._unpacked = 0
        for info in self._zip.infolist():
            name = _plain(info.filename)
            if name in self._parts:
                raise broken(f"The workbook holds the part {shown(name, 80)} twice")
            self._parts[name] = info
        self._size = source.seek(0, os.SEEK_END)

    def names(self) -> list[str]:
        """The names of all parts, in small letters."""
        return list(self._parts)

    def __contains__(self, name: str) -> bool:
        return _plain(name) in self._parts

    def blocks(self, name: str, limit: int = UNPACKED_LIMIT) -> Iterator[bytes]:
        """The part, unpacked. Its checksum and size have been found right when the last block has come."""
        info, taken = self._found(name), 0
        if info.file_size > limit:
            raise _too_large(name, limit)
        try:
            with self._zip.open(info) as part:
                while block := part.read(BLOCK):
                    taken += len(block)
                    self._spend(name, len(block))
                    if taken > _RATIO_FREE and taken > _RATIO_LIMIT * info.compress_size:
                        raise _bomb(name)
                    yield block
        except _DAMAGE as error:
            reason = shown(str(error), 80) or "it ends too early"
            raise broken(f"The workbook's part {shown(name, 80)} is damaged ({reason})") from error
        if taken != info.file_size:
            raise broken(f"The workbook's part {shown(name, 80)} has another size than is declared")

    def _found(self, name: str) -> zipfile.ZipInfo:
        info = self._parts.get(_plain(name))
        if info is None:
            raise broken(f"The workbook lacks its part {shown(name, 80)}")
        if info.header_offset + info.compress_size > self._size:
            raise broken(f"The workbook's part {shown(name, 80)} is cut off")
        if info.flag_bits & 1:
            raise Invalid("The file has a password; save it without one and send that.", "format-unknown")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise broken(f"The workbook's part {shown(name, 80)} is packed in a way that Excel does not use")
        return info

    def _spend(self, name: str, size: int) -> None:
        self._unpacked += size
        if self._unpacked > UNPACKED_LIMIT:
            raise _too_large(name, UNPACKED_LIMIT)


class _Guarded:
    """What zipfile may do to the file: no read that fills the memory, no step before the beginning."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source

    def read(self, size: int = -1) -> bytes:
        if size > _DIRECTORY_LIMIT:
            text = f"The workbook's list of parts is larger than {_DIRECTORY_LIMIT:,} bytes."
            raise TooLarge(f"{text} {_SAVE_AGAIN}", "xlsx-too-large")
        # What zipfile reads to the end is the last 64 KiB.
        return self._source.read(size if size >= 0 else _DIRECTORY_LIMIT)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if offset < 0 and whence == os.SEEK_SET:
            raise zipfile.BadZipFile("an offset before the beginning")
        return self._source.seek(offset, whence)

    def tell(self) -> int:
        return self._source.tell()

    def seekable(self) -> bool:
        return True


def _plain(name: str) -> str:
    # Names are the same in any case (ECMA-376 part 2), and some writers leave Windows' separators in them.
    return name.replace("\\", "/").lstrip("/").lower()


def _too_large(name: str, limit: int) -> TooLarge:
    text = f"The workbook's part {shown(name, 80)} is larger than {limit:,} bytes unpacked"
    return TooLarge(f"{text}; send the rows in several files, or as CSV.", "xlsx-too-large")


def _bomb(name: str) -> TooLarge:
    text = f"The workbook's part {shown(name, 80)} unpacks to more than {_RATIO_LIMIT} times its size"
    return TooLarge(f"{text}, as no list of devices does; send the rows as CSV.", "xlsx-too-large")
