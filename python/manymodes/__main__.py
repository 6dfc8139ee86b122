"""Run the command line as ``python -m manymodes``."""

from __future__ import annotations

from manymodes.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
