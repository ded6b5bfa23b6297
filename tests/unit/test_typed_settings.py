"""A setting on the command line: text or JSON, as its form wants it, also where a part of it is wrong."""

import pytest

from app.adapters.sftp_csv import SftpCsvSettings
from app.cli.kinds import typed


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("columns", '["IMEI=imei15"]', ["IMEI=imei15"]),
        ("columns", '["IMEI=imei"]', ["IMEI=imei"]),
        ("columns", "[7]", [7]),
        ("columns", '"IMEI=imei"', '"IMEI=imei"'),
        ("columns", '["IMEI=', '["IMEI='),
        ("reasons", '{"thft": "X"}', {"thft": "X"}),
        ("rows_per_file", "0", 0),
        ("delimiter", ";", ";"),
        ("put_away", "[7]", "[7]"),
    ],
)
def test_what_is_wrong_inside_is_left_to_be_named(name, text, value):
    assert typed(SftpCsvSettings, name, text) == value
