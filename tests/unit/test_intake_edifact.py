"""The syntax of EDIFACT: any separators, any pieces, and an envelope that must agree with itself."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import BinaryIO, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import Invalid
from app.devices.intake import edifact

USUAL = ":+.? '"
MESSAGE = ["UNH+7+DESADV:D:96A:UN:EAN005", "BGM+351+D1+9", "UNT+3+7"]


class Stream:
    """A file that comes in pieces."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)

    def read(self, size: int = -1) -> bytes:
        return next(self._pieces, b"")


def enclosed(body: list[str], count: int = 1, head: str = "UNB+UNOC:3+A:14+B:14+260301:0900+R1") -> str:
    return "".join(f"{segment}'" for segment in [head, *body, f"UNZ+{count}+R1"])


def read(source: bytes | str) -> list[tuple[int, str, list[list[str]]]]:
    data = source.encode("latin-1") if isinstance(source, str) else source
    return [(it.number, it.tag, it.elements) for it in edifact.segments(io.BytesIO(data))]


def refusal(source: bytes | str) -> Invalid:
    with pytest.raises(Invalid) as error:
        read(source)
    return error.value


@pytest.mark.parametrize("between", ["", "\n", "\r\n", " \r\n\n"])
def test_line_breaks_between_segments(between: str) -> None:
    plain = enclosed(MESSAGE)
    assert read(plain.replace("'", "'" + between)) == read(plain)
    assert [(number, tag) for number, tag, _ in read(plain)] == [(2, "UNH"), (3, "BGM"), (4, "UNT")]


def test_a_una_is_a_segment_and_names_the_separators() -> None:
    usual = enclosed(["UNH+7+DESADV:D:96A:UN", "BGM+351+a?'b?+c?:d??e", "UNT+3+7"])
    own = "UNA|;,\\ ~" + usual.translate(str.maketrans(":+'?", "|;~\\"))
    assert read(usual)[1] == (3, "BGM", [["351"], ["a'b+c:d?e"]])
    assert read(own)[1] == (4, "BGM", [["351"], ["a~b;c|d\\e"]])


def test_the_control_characters_of_level_b_need_no_una() -> None:
    text = enclosed(MESSAGE).replace("UNOC", "UNOB").translate(str.maketrans(":+'", "\x1f\x1d\x1c"))
    assert read(text) == read(enclosed(MESSAGE))


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_line_feed_as_terminator(end: str) -> None:
    text = "UNA:+.? \n" + enclosed(MESSAGE).replace("'", end) + end
    assert [tag for _, tag, _ in read(text)] == ["UNH", "BGM", "UNT"]


@pytest.mark.parametrize(
    ("version", "una", "elements"),
    [
        ("3", "", [["5"], ["A", "SA*B", "BP"]]),
        ("4", "", [["5"], ["A", "SA"], ["B", "BP"]]),
        ("4", "UNA:+.?*'", [["5"], ["A", "SA"], ["B", "BP"]]),
        ("4", "UNA:+.? '", [["5"], ["A", "SA*B", "BP"]]),
        ("3", "UNA:+.?*'", [["5"], ["A", "SA*B", "BP"]]),
    ],
)
def test_repetitions_are_of_syntax_4(version: str, una: str, elements: list[list[str]]) -> None:
    body = [MESSAGE[0], "PIA+5+A:SA*B:BP", "UNT+3+7"]
    text = una + enclosed(body, head=f"UNB+UNOC:{version}+A:14+B:14+260301:0900+R1")
    assert read(text)[1][2] == elements


@pytest.mark.parametrize(
    ("level", "encoding", "reads"),
    [
        ("UNOC", "latin-1", "é"), ("UNOY", "utf-8", "é"), ("UNOW", "utf-8", "é"), ("UNOD", "iso8859-2", "é"),
        ("UNOE", "iso8859-5", "Ж"), ("UNOA", "latin-1", "\udce9"), ("UNOY", "latin-1", "\udce9"),
    ],
)  # fmt: skip
def test_characters_are_what_the_syntax_identifier_says(level: str, encoding: str, reads: str) -> None:
    sent = "é" if reads == "\udce9" else reads
    body = [MESSAGE[0], f"BGM+351+{sent}", "UNT+3+7"]
    text = enclosed(body, head=f"UNB+{level}:3+A:14+B:14+260301:0900+R1").encode(encoding)
    assert read(text)[1][2][1] == [reads]
    assert read(b"\xef\xbb\xbf" + text) == read(text)


def test_groups_are_counted_for_themselves() -> None:
    group = ["UNG+DESADV+A+B+260301:0900+G1+UN+D:96A", *MESSAGE, *MESSAGE, "UNE+2+G1"]
    assert len(read(enclosed(group))) == 6
    error = refusal(enclosed([*group[:-1], "UNE+1+G1"]))
    assert (error.code, "segment 2, there are 2 messages" in error.detail) == ("edifact-counts", True)
    assert refusal(enclosed(group, count=2)).code == "edifact-counts"


@pytest.mark.parametrize(
    ("was", "now", "code", "says"),
    [
        ("UNT+3", "UNT+4", "edifact-counts", "Segment 4 (UNT): the count is '4', but since UNH, segment 2"),
        ("UNT+3", "UNT+", "edifact-counts", "there are 3 segments"),
        ("UNZ+1", "UNZ+2", "edifact-counts", "there are 1 messages"),
        ("UNT+3+7", "UNT+3+8", "edifact-references", "has '7'; both would be the same"),
        ("UNZ+1+R1", "UNZ+1+R2", "edifact-references", "segment 1, has 'R1'"),
        ("UNT+3+7'", "", "edifact-malformed", "Segment 4 (UNZ): it ends no UNB"),
        ("UNH+7", "UNH+7'UNH+8", "edifact-malformed", "Segment 3 (UNH): it cannot stand inside UNH"),
        ("UNT+3+7'", "UNT+3+7'LIN+1'", "edifact-malformed", "Segment 5 (LIN): it stands outside a message"),
        ("UNZ+1+R1'", "UNZ+1+R1'UNB+UNOC:3'", "edifact-malformed", "one interchange"),
        ("UNZ+1+R1'", "", "edifact-malformed", "no end"),
        ("UNZ+1+R1'", "UNZ+1+R1", "edifact-malformed", "it was cut off"),
        ("BGM+", "'BGM+", "edifact-malformed", "Segment 3 (): a segment begins with a tag"),
        ("BGM+", "bgm+", "edifact-malformed", "Segment 3 (bgm)"),
        ("UNOC", "UNOX", "edifact-malformed", "it would be one of UNOA"),
        ("UNOC:3", "UNOC:5", "edifact-malformed", "it would be 1, 2, 3 or 4"),
        ("+R1'UNH", "+R1++DESADV++++1'UNH", "edifact-test", "marked as a test"),
        ("BGM+", "BGM+" + "x" * 70_000, "edifact-malformed", "Segment 3 is longer than 65536 bytes"),
        ("UNB", "UNA:+.? ", "edifact-malformed", "six characters would differ"),
        ("UNB", "UNA::.? 'UNB", "edifact-malformed", "six characters would differ"),
        ("UNB", "x", "edifact-malformed", "begins with UNA or UNB"),
    ],
)
def test_a_broken_interchange_says_where_and_what_would_be_right(
    was: str, now: str, code: str, says: str
) -> None:
    text = enclosed(MESSAGE)
    assert was in text
    error = refusal(text.replace(was, now, 1))
    assert error.code == code
    assert says in error.detail
    assert len(error.detail) < 300


@pytest.mark.parametrize("source", [b"", b"\r\n ", b"\xef\xbb\xbf"])
def test_an_empty_file(source: bytes) -> None:
    assert refusal(source).code == "file-empty"


MARKS = st.lists(
    st.sampled_from("!\"#$%&()*,/;<=>?@[]^_{|}~:+.'\x1c\x1d\x1f\n"), min_size=5, max_size=5, unique=True
)
WORDS = st.text(
    st.characters(min_codepoint=33, max_codepoint=255, exclude_categories=["Cc", "Cs"]), max_size=8
)
BODY = st.lists(st.lists(st.lists(WORDS, min_size=1, max_size=3), max_size=4), max_size=6)


@given(MARKS, BODY, st.sampled_from(["", "\r\n"]), st.integers(1, 50))
def test_what_is_written_with_any_separators_is_read_again(
    marks: list[str], body: list[list[list[str]]], between: str, size: int
) -> None:
    component, element, release, repetition, terminator = marks

    def written(text: str) -> str:
        return "".join(release + char if char in marks else char for char in text)

    def segment(tag: str, elements: list[list[str]]) -> str:
        parts = [tag, *(component.join(map(written, words)) for words in elements)]
        return element.join(parts) + terminator + between

    lines = [
        segment("UNB", [["UNOC", "4"], ["A"], ["B"], ["260301", "0900"], ["R1"]]),
        segment("UNH", [["7"], ["DESADV", "D", "01B", "UN"]]),
        *(segment("FTX", elements) for elements in body),
        segment("UNT", [[str(len(body) + 2)], ["7"]]), segment("UNZ", [["1"], ["R1"]]),
    ]  # fmt: skip
    data = (
        "UNA" + component + element + "." + release + repetition + terminator + between + "".join(lines)
    ).encode("latin-1")
    pieces = (data[place : place + size] for place in range(0, len(data), size))
    found = list(edifact.segments(cast(BinaryIO, Stream(pieces))))
    assert [(it.tag, it.elements) for it in found[1:-1]] == [("FTX", elements) for elements in body]
    assert [it.number for it in found] == list(range(3, len(body) + 5))
