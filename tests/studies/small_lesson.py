"""Lesson 90: what tests of lessons run; the mean of five normal observations."""

from __future__ import annotations

# %% [markdown]
# # 90. A small lesson
#
# **What is the posterior mean of a normal mean?**
# %%
import os
from pathlib import Path

import manymodes as mm
from manymodes.studies.lessons import Lesson, Number

DATA = {"kind": 1, "N": 5, "y": [0.5, 1.5, 1.0, 2.0, 0.0], "prior": [2.0, 1.0]}
DATA |= {"prior_only": 0, "unlucky": 0.0, "rejects": 0}

if __name__ == "__main__":  # the workers that sample chains import this file
    # %%
    lesson = Lesson(90, "mean")
    program = mm.Program(Path(os.environ["SMALL_LESSON_MODELS"]) / "closed_forms.stan")
    posterior = mm.Posterior(program, DATA, "mean")
    lesson.program(posterior)

    # %% [markdown]
    # ## Sampled

    # %%
    tempered = mm.run_tempered(posterior, **lesson.at("mean"))
    if "SMALL_LESSON_FAILS" in os.environ:
        raise mm.InputError("y: the lesson ended here")
    found = mm.compare(posterior, tempered=tempered, **lesson.kept("mean"))
    mean = tempered.share(tempered.rows[:, 0])
    lesson.settle(Number("posterior mean", mean.value, mean.sd, expected=20 / 21))
    figure, axes = lesson.figure()
    axes.hist(tempered.rows[:, 0])
    lesson.show(figure, "Draws of the mean.")
    lesson.finish({"mean": found})
