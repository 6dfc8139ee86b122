"""Lesson 3: a mixture of three normals, its six modes, and the order that makes them one."""

from __future__ import annotations

# %% [markdown]
# # 3. Three labels
#
# **Why does a mixture of three normals have six modes, and what makes them one?**
# %%
import numpy as np

from manymodes.studies.lessons import Lesson

if __name__ == "__main__":  # the workers that sample chains import this file
    # %%
    lesson = Lesson(3, "free", "ordered")
    rng = np.random.default_rng(lesson.seed)
    print(rng.normal())
