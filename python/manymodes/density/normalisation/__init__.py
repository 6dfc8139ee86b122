"""A static look at a program: where its density may not be normalised.

The evidence is the integral of the program's density, so that a constant that is missing there
is missing in log_z. A ``~`` statement and ``_lupdf`` keep their constants here (``propto=False``).
This package looks for faults that no evaluation shows:

- a bounded parameter whose prior is not truncated: the prior's mass between the bounds is not 1;
- a parameter without a prior: its density is flat, of infinite or of unknown volume;
- an ordered vector with a prior for independent elements: the factor K! is missing, because the
  product of their densities integrates to 1 / K! over the vectors in order;
- independent elements of a simplex, of a unit vector, or of a matrix of a constrained type.

The text shows less than the author knows: a remark says that something *may be* wrong, and in
doubt there is no remark. In particular an author may have added the constant by hand. A term of
``target +=`` (or of a function that ends in ``_lp``) may be the missing correction, and then there
is no remark. It is not the correction if it is or holds a density (``normal_lpdf(...)``), or if it
depends only on parameters other than the parameter in question and those that its prior depends
on. A distribution function is the correction only if it is that of the prior
(``normal_lccdf(0 | 0, 1)``); otherwise it is the likelihood of censored data.

A parameter has a prior if it, or a variable that depends on it, is the outcome of any density, or
if it is part of a term that holds no density. It also counts as having one if the program's own
function takes it. What a term holds is found through the program's variables: ``log_sum_exp(lps)``
is a mixture of the densities that `lps` was given in loops, and a forward algorithm one of all
paths. In a mixture the weights have no prior by it, and neither have the parameters of a
component that is a density of data.

Evaluations show whether a density falls off at all far out: see `improper_directions`.

These faults are not looked for: missing Jacobians (``log(s) ~ normal(0, 1)``), densities that are
not normalised in the outcome for other reasons, two priors of one parameter, what the program's own
functions do, and constants of the likelihood.
"""

from __future__ import annotations

from manymodes.density.normalisation.improper import falls_off, finite_points, improper_directions
from manymodes.density.normalisation.remarks import Remark, remarks

__all__ = ["Remark", "falls_off", "finite_points", "improper_directions", "remarks"]
