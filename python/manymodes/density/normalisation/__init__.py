"""A static look at a program: where its density may not be normalised.

The evidence is the integral of the program's density, so that a constant that is missing there
is missing in log_z. A ``~`` statement and ``_lupdf`` keep their constants here (``propto=False``);
what is looked for is what no evaluation tells:

- a bounded parameter whose prior is not truncated: the prior's mass between the bounds is not 1;
- a parameter without a prior: its density is flat, of infinite or of unknown volume;
- an ordered vector with a prior for independent elements: the factor H! is missing.

The text tells less than the author knows: what is found *may be* wrong, and when in doubt nothing
is said. In particular a program may mend itself by hand. A term of ``target +=`` (or of a function
that ends in ``_lp``) counts as a correction that may be the missing one, and silences the remark,
unless it is or holds a density (``normal_lpdf(...)``), or depends on parameters among which are
neither the parameter in question nor those that its prior depends on. A parameter has a prior
where it, or a variable that depends on it, is the outcome of any density or part of any such term,
and counts as having one where a function of the program's own takes it.

What evaluations do tell is whether a density falls off at all far out: see
`improper_directions`.

Not looked for: Jacobians that are missing (``log(s) ~ normal(0, 1)``), densities that are not
normalised in the outcome for other reasons, and constants of the likelihood.
"""

from __future__ import annotations

from manymodes.density.normalisation.improper import falls_off, finite_points, improper_directions
from manymodes.density.normalisation.remarks import Remark, remarks

__all__ = ["Remark", "falls_off", "finite_points", "improper_directions", "remarks"]
