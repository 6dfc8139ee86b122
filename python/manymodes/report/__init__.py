"""One self-contained HTML page that tells what was found."""

from __future__ import annotations

from manymodes.report._page import Table
from manymodes.report._write import write_report

__all__ = ["Table", "write_report"]
