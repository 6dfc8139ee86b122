"""The version of manymodes, for all who need nothing else of it."""

from __future__ import annotations

__version__ = "0.2.0.dev0"
