"""Goods-in files, read: a stream of bytes becomes devices and findings.

Pure: no database, no HTTP, no clock. What a repeated or already registered device means is decided elsewhere.
"""

from app.devices.intake.cells import Finding
from app.devices.intake.columns import REJECT_COLUMNS, Mapped, read_columns
from app.devices.intake.read import MOST_UNPACKED, Format, guess, is_packed, read
from app.devices.intake.rows import Columns, Defaults, Reading, Row, Shared, Submission, read_defaults
from app.devices.intake.spreadsheet import harmless

__all__ = [
    "MOST_UNPACKED",
    "REJECT_COLUMNS",
    "Columns",
    "Defaults",
    "Finding",
    "Format",
    "Mapped",
    "Reading",
    "Row",
    "Shared",
    "Submission",
    "guess",
    "harmless",
    "is_packed",
    "read",
    "read_columns",
    "read_defaults",
]
