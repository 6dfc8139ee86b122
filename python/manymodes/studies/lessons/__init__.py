"""The lessons: scripts in `examples/` that ask one question each, and settle it by one number.

What their scripts use is imported when it is first asked for, so that a list of lessons is quick.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={"jackknife": ["jackknife"], "lesson": ["Lesson"], "number": ["Number"]},
)
