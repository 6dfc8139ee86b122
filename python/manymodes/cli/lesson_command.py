"""The command ``study`` for lessons: list them, run one, write its notebook."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from contextlib import nullcontext, redirect_stdout
from io import StringIO

from manymodes.errors import InputError
from manymodes.wording import nearest, quoted

_LESSON_OPTIONS = {
    *("command", "name", "notebook", "out", "seed", "resume", "overwrite", "quiet", "json"),
}


def list_studies(options: argparse.Namespace, studies: Mapping[str, str]) -> int:
    """Print the case studies and the lessons, each with what it asks."""
    from manymodes.runtime.storage import json_text
    from manymodes.studies.lessons.catalogue import lessons

    asked = {name: f"{one.title}: {one.question}" for name, one in lessons().items()}
    if options.out is not None or options.notebook is not None:
        raise InputError(f"study: which one? {', '.join([*studies, *asked])}")
    if options.json:
        print(json_text({**studies, **asked}))
        return 0
    for name, about in (*studies.items(), *asked.items()):
        print(f"{name:<10} {about}")
    return 0


def lesson_command(options: argparse.Namespace, studies: Iterable[str]) -> int:
    """Run a lesson into ``--out``, or write its notebook; no other study has this name."""
    from manymodes.results.our_files import LESSON_PICTURE, REPORT, SUMMARY
    from manymodes.runtime.storage import json_text, refuse_existing, write_json
    from manymodes.studies.lessons.catalogue import lessons
    from manymodes.studies.lessons.cells import notebook
    from manymodes.studies.lessons.lesson import Way
    from manymodes.studies.lessons.run import run_lesson

    known = lessons()
    if options.name not in known:
        meant = nearest(options.name, [*studies, *known])
        raise InputError(
            f"study: there is no {quoted(options.name)}{meant or '.'} 'manymodes study' lists them"
        )
    script = known[options.name]
    _refuse_settings(options)
    if options.notebook is not None:
        if options.out is not None:
            raise InputError("--notebook writes a notebook and runs nothing: leave out --out")
        if options.resume:
            raise InputError("--notebook writes a notebook and runs nothing: leave out --resume")
        refuse_existing([options.notebook], options.overwrite)
        write_json(options.notebook, notebook(script.cells))
        if options.json:
            print(json_text({"lesson": script.name, "file": str(options.notebook)}))
        elif not options.quiet:
            print(f"{options.notebook}: the notebook of {script.name}, {script.title}")
        return 0
    if options.out is None:
        raise InputError("study: --out is needed, the directory for the results")
    if options.resume and options.overwrite:
        raise InputError("--overwrite removes what --resume would continue: leave one of them out")
    quiet = options.quiet or options.json
    way = Way(options.out, options.seed, options.resume, options.overwrite, quiet)
    if not quiet:
        print(f"{script.number}. {script.title}\n{script.question}\n", flush=True)
    with redirect_stdout(StringIO()) if quiet else nullcontext():
        run_lesson(script, way)
    if options.json:
        print((options.out / SUMMARY).read_text(encoding="utf-8"), end="")
    elif not options.quiet:
        print(f"\nPicture: {options.out / LESSON_PICTURE}\nReport: {options.out / REPORT}")
    return 0


def _refuse_settings(options: argparse.Namespace) -> None:
    """Refuse the settings of engines: those of a lesson are in its script."""
    for name, value in vars(options).items():
        if name.startswith("_") or name in _LESSON_OPTIONS:
            continue
        if value not in (None, False):
            raise InputError(
                f"study {options.name}: has no --{name.replace('_', '-')}: its settings are in its "
                "script; '--notebook FILE' writes it as a notebook that you can change"
            )
