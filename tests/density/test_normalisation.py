"""Programs that may be unnormalised: what is remarked on, and what is not."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy import integrate, special, stats

from conftest import MODELS, closed_form, improper, needs_tools, small_network
from manymodes import toolchain
from manymodes.density.normalisation import Remark, falls_off, improper_directions, remarks
from manymodes.density.normalisation.masses import (
    FAMILIES,
    constant,
    log_mass_on_simplex,
    log_mass_on_sphere,
    mass_between,
)
from manymodes.density.posterior import Posterior
from manymodes.density.program import Program
from manymodes.errors import DensityError, InputError
from manymodes.modes.checks.basins import density_of
from manymodes.sampling.base_measures import prior_measure, proper_prior_measure
from sentences import tells

HALF = math.log(2)
OURS = sorted((toolchain.stan_dir() / "models").glob("*.stan")) + sorted(
    path for path in MODELS.glob("*.stan") if path.stem not in {"improper", "unnormalised"}
)


def look(tmp_path: Path, parameters: str, model: str, before: str = "", **data: object):
    """Return the remarks on a small program; with data, on its posterior."""
    path = tmp_path / "m.stan"
    path.write_text(f"{before}\nparameters {{\n{parameters}\n}}\nmodel {{\n{model}\n}}\n")
    program = Program(path)
    return remarks(Posterior(program, data) if data else program)


# ---------------------------------------------------------------- what does not fall off


@pytest.mark.parametrize(
    ("slope", "proper"),
    [
        (lambda t: 0.0, False),  # flat
        (lambda t: 1.0, False),  # flat on a half-line, on the log scale
        (lambda t: -0.5 / t, False),  # falls off, but too slowly
        (lambda t: -1.0 / t, False),
        (lambda t: -1.2 / t, True),
        (lambda t: -2.0 / t, True),  # Cauchy
        (lambda t: -1e-3, True),  # slow, but exponential
        (lambda t: -1e-9, True),
        (lambda t: -t / 1e12, True),  # a normal of standard deviation 1e6
        (lambda t: (1e6 - t) / 4.0, True),  # far from the origin
        (lambda t: 2 * (1e3 - t) / (1 + (t - 1e3) ** 2), True),
    ],
)
def test_falling_off_is_told_by_slopes(slope: Callable[[float], float], proper: bool) -> None:
    assert falls_off(lambda t: (-1.0, slope(t))) == proper


@pytest.mark.parametrize("end", [200.0, 1e7])
def test_a_density_that_ends_falls_off(end: float) -> None:
    assert falls_off(lambda t: (0.0 if t < end else -math.inf, 0.0))


def test_what_cannot_be_evaluated_is_not_called_improper() -> None:
    def line(distance: float) -> tuple[float, float]:
        raise DensityError("overflow")

    assert falls_off(line)


PRIORS = {
    0: (),
    1: ("b",),
    2: ("b[2]",),
    3: ("sigma",),
    4: ("sigma",),
    5: ("b[1] and b[2] together",),
    6: ("b[1]",),
    7: (),
    8: (),
    9: (),
}


@needs_tools
@pytest.mark.parametrize("kind", PRIORS)
def test_improper_priors_are_named(kind: int) -> None:
    posterior = improper(kind)
    assert improper_directions(posterior.prior) == PRIORS[kind]
    both = "b[1] and b[2] together"  # the data tell the sum only
    assert improper_directions(posterior) == ((both,) if kind in (1, 5) else ())


@needs_tools
def test_an_improper_prior_is_no_base_measure() -> None:
    with pytest.raises(InputError, match=r"the prior of b\[2\] in improper is improper"):
        prior_measure(improper(2))
    assert proper_prior_measure(improper(2)) is None
    assert proper_prior_measure(improper(0)) is not None


@pytest.mark.parametrize(
    ("flat", "model", "said"),
    [
        (1, "if (!flat) b ~ normal(0, 1);", True),
        (0, "if (!flat) b ~ normal(0, 1);", False),
        (1, "if (flat == 0 && flat < 2) { b ~ normal(0, 1); }", True),
        (1, "if (flat != 0 || flat > 7) { b ~ normal(0, 1); }", False),
        (1, "if (flat) { } else { b ~ normal(0, 1); }", True),
        (0, "if (flat) { } else if (flat == 0) b ~ normal(0, 1); else { }", False),
        (1, "if (flat == 0) if (flat == 1) { } else b ~ normal(0, 1);", True),
        (1, "if (flat > unknown) b ~ normal(0, 1);", False),
        (2, "if (flat == 1) { } b ~ normal(0, 1);", False),
        (2, "for (i in 1:2) if (flat == 2) target += normal_lpdf(b | 0, 1);", False),
    ],
)
def test_conditions_on_data_are_known(tmp_path: Path, flat: int, model: str, said: bool) -> None:
    found = look(tmp_path, "real b;", model, "data { int flat; }", flat=flat)
    assert [remark.infinite for remark in found] == [True] * said


# ---------------------------------------------------------------- nothing to say


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.name)
def test_our_own_programs_get_no_remark(path: Path) -> None:
    assert remarks(Program(path)) == ()


def test_nor_do_their_posteriors() -> None:
    assert remarks(closed_form("bernoulli")) == ()
    assert remarks(small_network("normal:1", "ordered")) == ()


@pytest.mark.parametrize(
    ("parameters", "model"),
    [
        ("real x;", "x ~ normal(0, 1);"),
        ("real<lower=0> s;", "s ~ normal(0, 1) T[0, ];"),
        ("array[3] real<lower=0> s;", "for (i in 1:3) { s[i] ~ cauchy(0, 1) T[0, ]; }"),
        ("real<lower=0> s;", "target += normal_lpdf(s | 0, 1) + log(2);"),
        ("real<lower=0> s;", "target += normal_lpdf(s | 0, 1) - normal_lccdf(0 | 0, 1);"),
        ("real<lower=0> s;", "s ~ normal(0, 1); target += log2();"),
        ("real<lower=0> s;", "target += (normal_lpdf(s | 0, 1) + log(2));"),
        ("real<lower=0> s;", "s ~ normal(0, 1); mend_lp(s);"),
        ("vector<lower=0>[3] s;", "s ~ exponential(1);"),
        ("real<lower=0> s;", "s ~ lognormal(0, 1);"),
        ("real<lower=-10, upper=10> s;", "s ~ normal(0, 1);"),
        ("real<lower=0, upper=1> p;", "p ~ beta(2, 2);"),
        ("real<lower=-1> s;", "s ~ inv_gamma(2, 2);"),
        ("real<lower=2, upper=b> s;", "s ~ uniform(2, b);"),
        ("real<lower=negative_infinity()> s;", "s ~ normal(0, 1);"),
        ("real<lower=low> s;", "s ~ gamma(2, 2);"),
        ("real<lower=0, upper=1> p;", "y ~ bernoulli(p);"),
        ("vector<lower=-0.5, upper=0.5>[3] p;", ""),
        ("matrix[2, 3] W;", "to_vector(W) ~ normal(0, 1);"),
        ("vector[3] z;", "for (i in 1:3) z[i] ~ normal(0, 1);"),
        ("real<lower=0> s;", "log(s) ~ normal(0, 1); target += -log(s);"),
        ("real<lower=0> s;", "target += -s;"),
        ("real m; vector[2] e;", "m ~ normal(0, 1); e ~ std_normal(); y ~ normal(m + e, 1);"),
        ("real m;", "real d = y - m; d ~ normal(0, 1);"),
        ("real m;", "y - m ~ normal(0, 1);"),
        ("real m;", "{ vector[2] v; for (i in 1:2) { v[i] = m * i; } v ~ normal(0, 1); }"),
        ("real m;", "target += log_mix(0.5, normal_lpdf(m | 0, 1), normal_lpdf(m | 1, 1));"),
        ("simplex[3] p;", "p ~ dirichlet(a);"),
        ("simplex[3] p;", "target += lgamma(3);"),
        ("ordered[3] b;", "target += normal_lpdf(b | 0, 1) + lgamma(4);"),
        ("ordered[3] b;", "b ~ normal(0, 1); target += lgamma(size(b) + 1);"),
        ("ordered[1] b;", "b ~ normal(0, 1);"),
        ("corr_matrix[3] R;", "R ~ lkj_corr(2);"),
        ("cholesky_factor_corr[3] L;", "L ~ lkj_corr_cholesky(2);"),
        ("cov_matrix[3] S;", "S ~ inv_wishart(5, V);"),
        ("unit_vector[3] u;", "target += -log(4 * pi());"),
        ("real x;", 'profile("p") { if (1) x ~ normal(0, 1); else x ~ cauchy(0, 1); }'),
        ("real x;", "target += normal_lupdf(x | 0, 1);"),
        ("array[0] real x;", ""),
        ("array[1 > 2 ? 3 : 0] real x;", ""),
        # Terms and pieces of variables that may be the correction.
        ("real<lower=0> s;", "real lp = normal_lpdf(s | 0, 1) + log(2); target += lp;"),
        ("real<lower=0> s;", "real lp = log(2); lp += normal_lpdf(s | 0, 1); target += lp;"),
        (
            "vector<lower=0>[2] s;",
            "vector[2] l; for (i in 1:2) l[i] = cauchy_lpdf(s[i] | 0, 1) "
            "- cauchy_lccdf(0 | 0, 1); target += sum(l);",
        ),
        (
            "real<lower=0> s;",
            "target += student_t_lpdf(s | 3, 0, 2) - 1 * student_t_lccdf(0 | 3, 0, 2);",
        ),
        ("real<lower=0> s;", "s ~ std_normal(); target += -normal_lccdf(0 | 0, 1);"),
        ("ordered[2] b;", "real k = 2; b ~ normal(0, 1); target += lgamma(k + 1);"),
        # Mixtures, forward algorithms and counts with zeros, all parameters with priors.
        (
            "ordered[2] b; simplex[2] w;",
            "target += normal_lpdf(b | 0, 1) + log(2);"
            "for (n in 1:N) target += log_mix(w[1], normal_lpdf(y[n] | b[1], 1), 0);",
        ),
        (
            "real<lower=0, upper=1> z; real<lower=0> r;",
            "r ~ gamma(2, 1); for (n in 1:N) target += "
            "log_sum_exp(bernoulli_lpmf(1 | z), bernoulli_lpmf(0 | z) + poisson_lpmf(y[n] | r));",
        ),
        (
            "real m;",
            "vector[2] l; l[1] = normal_lpdf(m | 0, 1); l[2] = normal_lpdf(m | 4, 1); "
            "target += log_sum_exp(l);",
        ),
        ("real m;", "target += log_sum_exp(lps(y, m));"),
        (
            "real<lower=0> s;",
            "target += log_mix(0.5, exponential_lpdf(s | 1), lognormal_lpdf(s | 0, 1));",
        ),
        ("simplex[2] w;", "y ~ categorical(w);"),  # of volume 1
        ("simplex[2] w;", "w[1] ~ beta(2, 2);"),
        ("simplex[3] w;", "w ~ uniform(0, 1); target += log(2);"),
        (
            "cholesky_factor_cov[2] L;",
            "L[1, 1] ~ lognormal(0, 1); L[2, 1] ~ normal(0, 1); L[2, 2] ~ lognormal(0, 1);",
        ),
        ("vector<lower=negative_infinity()>[2] m;", "m ~ multi_normal(a, S);"),
    ],
)
def test_a_normalised_program_gets_no_remark(tmp_path: Path, parameters: str, model: str) -> None:
    assert look(tmp_path, parameters, model) == ()


# ---------------------------------------------------------------- priors that are cut off


@pytest.mark.parametrize(
    ("parameters", "model", "mass", "remedy"),
    [
        ("real<lower=0> s;", "s ~ normal(0, 1);", -HALF, "write T[0, ] after it"),
        ("real<lower=0> s;", "target += normal_lpdf(s | 0, 1);", -HALF,
         "add target += -normal_lccdf(0 | 0, 1)"),
        ("real<lower=0> s;", "target += student_t_lupdf(s | 4, 0, b);", -HALF,
         "add target += -student_t_lccdf(0 | 4, 0, b)"),
        ("real<upper=m> s;", "s ~ cauchy(m, 2);", -HALF, "write T[, m] after it"),
        ("vector<lower=0>[3] s;", "s ~ cauchy(0, 2.5);", -3 * HALF,
         "add target += -cauchy_lccdf(rep_vector(0, num_elements(s)) | 0, 2.5)"),
        ("matrix<lower=0>[2, 3] s;", "to_vector(s) ~ std_normal();", -6 * HALF,
         "add target += -std_normal_lccdf(rep_vector(0, num_elements(s)) |)"),
        ("real<lower=0> s[4];", "for (i in 1:4) s[i] ~ normal(0, 1);", -4 * HALF,
         "write T[0, ] after it"),
        ("real<lower=0> s[4];", "for (i in 2:3) s[i] ~ normal(0, 1);", -2 * HALF,
         "write T[0, ] after it"),
        ("matrix<lower=0>[2, 3] s;", "for (i in 1:2) for (j in 1:3) s[i, j] ~ normal(0, 1);",
         -6 * HALF, "write T[0, ] after it"),
        ("array[2] vector<lower=0>[3] s;", "for (i in 1:2) s[i] ~ normal(0, scale[i]);", -6 * HALF,
         "write T[0, ] after it"),
        ("real<lower=0> s[n];", "for (i in 1:n) s[i] ~ normal(0, 1);", None,
         "write T[0, ] after it"),
        ("real<lower=0> s[2];", "for (i in 1:2) if (use[i]) s[i] ~ normal(0, 1);", None,
         "write T[0, ] after it"),
        ("real<lower=0> s;", "s ~ double_exponential(0, 1);", -HALF, "write T[0, ] after it"),
        ("real<lower=0> s;", "s ~ logistic(0, b);", -HALF, "write T[0, ] after it"),
        ("real<lower=0, upper=1> p;", "p ~ normal(0.5, 0.5);", math.log(0.6826894921370859),
         "write T[0, 1] after it"),
        ("vector<lower=0>[2] s;", "s ~ multi_normal(m, S);", None,
         "subtract the log of that mass from the target, or give the elements priors that can be "
         "truncated"),
        # Variables lead to the target, and are other names of parameters.
        ("real<lower=0> s;", "real lp = 0; lp += cauchy_lpdf(s | 0, 5); target += lp;", -HALF,
         "add target += -cauchy_lccdf(0 | 0, 5)"),
        ("real<lower=0> s;", "{ real t = s; t ~ cauchy(0, 5); }", -HALF, "write T[0, ] after it"),
        ("real<lower=-1, upper=1> r;", "r ~ normal(0, 1);", math.log(0.6826894921370859),
         "write T[-1, 1] after it"),
        ("real<lower=1> s;", "s ~ exponential(1 / 2.0);", -0.5, "write T[1, ] after it"),
        ("real<lower=0, upper=5> s;", "s ~ uniform(0, 10);", -HALF, "write T[0, 5] after it"),
        ("real<lower=0.5, upper=1> p;", "p ~ beta(1, 1);", -HALF, "write T[0.5, 1] after it"),
        ("real t; real<lower=0> s;", "t ~ normal(0, 1); s ~ normal(t, 1);", None,
         "write T[0, ] after it"),
        ("real<lower=low> s;", "s ~ normal(0, 1);", None, "write T[low, ] after it"),
        # These terms have nothing to do with s.
        ("real<lower=0> s; real m;", "s ~ normal(0, 1); target += -square(m);", -HALF,
         "write T[0, ] after it"),
        ("real<lower=0> s;", "s ~ normal(0, 1); target += log_mix(0.5, normal_lpdf(y | 0, s), 0);",
         -HALF, "write T[0, ] after it"),
        ("real<lower=0> s;", "s ~ cauchy(0, 5); vector[2] l; for (k in 1:2) l[k] = "
         "normal_lpdf(y | k, s); target += log_sum_exp(l);", -HALF, "write T[0, ] after it"),
        ("real<lower=0> s;", "s ~ cauchy(0, 5); target += n * normal_lccdf(3 | 0, s);", -HALF,
         "write T[0, ] after it"),  # censored data
        ("real<lower=0> s;", "s ~ cauchy(0, 5); target += -normal_lccdf(0 | 0, 1);", -HALF,
         "write T[0, ] after it"),
        ("real<lower=0> s;", "s ~ cauchy(0, 5); target += reduce_sum(part_lpmf, y, 1, s);", -HALF,
         "write T[0, ] after it"),
    ],
)  # fmt: skip
def test_a_prior_that_is_cut_off_is_remarked_on(
    tmp_path: Path, parameters: str, model: str, mass: float | None, remedy: str
) -> None:
    (remark,) = look(tmp_path, parameters, model)
    assert (remark.file, remark.line, remark.remedy) == ("m.stan", 6, remedy)
    assert "may not be truncated" in remark.what
    assert remark.log_mass == (None if mass is None else pytest.approx(mass, rel=1e-9))


def test_data_tell_bounds_sizes_and_what_is_empty(tmp_path: Path) -> None:
    before = "data { int N; real B; int use; } transformed data { real A = B / 2; }"
    parameters = "vector<lower=A>[N] s; array[use] real m; array[use == 0] real z;"
    model = "s ~ normal(0, 1);\nm ~ normal(0, 1); z ~ normal(0, 1);"
    unknown = look(tmp_path, parameters, model, before)
    known = look(tmp_path, parameters, model, before, N=3, B=0.0, use=0)
    assert [r.log_mass for r in unknown] == [None]
    assert [r.log_mass for r in known] == [pytest.approx(-3 * HALF)]
    assert [r.parameter for r in look(tmp_path, parameters, "", before, N=0, B=0, use=0)] == ["z"]


def test_a_remark_says_where_what_why_and_how_to_mend_it(tmp_path: Path) -> None:
    (remark,) = look(tmp_path, "real<lower=0> s;", "s ~ normal(0, 1);")
    said = str(remark)
    assert "\n" not in said
    assert said.startswith("m.stan, line 6: s ")
    assert tells(said, "normal(0, 1)", "not", "truncated")
    assert tells(said, "(0, infinity)", "0.5", "-0.6931 nats", "log_z", "0.6931 nats", "low")
    assert tells(said, "write T[0, ]")


# ---------------------------------------------------------------- no prior, no order


@pytest.mark.parametrize(
    ("parameters", "model", "mass"),
    [
        ("real m;", "y ~ normal(m, 1);", None),
        ("real<lower=0> s;", "y ~ normal(0, s);", None),
        ("vector<lower=0>[2] s; real m;", "m ~ normal(0, s[1]);", None),
        ("ordered[3] b;", "y ~ ordered_logistic(0, b);", None),
        ("cov_matrix[3] S;", "y ~ multi_normal(m, S);", None),
        ("cholesky_factor_cov[3] L;", "y ~ multi_normal_cholesky(m, L);", None),
        ("cholesky_factor_corr[3] L;", "", None),
        ("corr_matrix[3] R;", "", None),
        ("real<lower=-inf, upper=positive_infinity()> m;", "", None),
        ("real<lower=0, upper=3> p;", "", math.log(3)),
        ("array[2] vector<lower=-1, upper=1>[3] p;", "y ~ normal(p[1], 1);", 6 * HALF),
        ("real<lower=a, upper=b> p;", "", None),
        ("simplex[4] p;", "y ~ categorical(p);", -math.log(6)),
        ("array[2] simplex[K] p;", "", None),
        ("unit_vector[3] u;", "", math.log(4 * math.pi)),
        ("array[2] unit_vector[2] u;", "", 2 * math.log(2 * math.pi)),
        # Only in the likelihood, through mixtures and variables.
        ("real m;", "target += log_mix(0.3, normal_lpdf(y | m, 1), normal_lpdf(y | 0, 1));", None),
        ("real m;", "target += log_sum_exp(normal_lpdf(y | m, 1), normal_lpdf(y | 0, 1));", None),
        ("real m;", "real lp = 0; for (n in 1:N) lp += normal_lpdf(y[n] | m, 1); target += lp;",
         None),
        ("vector[2] m;", "matrix[N, 2] l; for (n in 1:N) for (k in 1:2) l[n, k] = "
         "normal_lpdf(y[n] | m[k], 1); for (n in 1:N) target += log_sum_exp(l[n]);", None),
        ("vector[2] m;", "for (n in 1:N) { vector[2] l = rep_vector(0, 2); for (k in 1:2) "
         "l[k] += normal_lpdf(y[n] | m[k], 1); target += log_sum_exp(l); }", None),
        ("array[3] simplex[3] A;", "vector[3] a; for (k in 1:3) a[k] = normal_lpdf(y[1] | k, 1); "
         "for (t in 2:N) { vector[3] b; for (k in 1:3) { vector[3] acc; for (j in 1:3) acc[j] = "
         "a[j] + log(A[j, k]) + normal_lpdf(y[t] | k, 1); b[k] = log_sum_exp(acc); } a = b; } "
         "target += log_sum_exp(a);", -3 * HALF),
        ("array[3] simplex[3] A;", "matrix[3, N] l; matrix[3, 3] G; for (k in 1:3) { G[k] = A[k]'; "
         "for (n in 1:N) l[k, n] = normal_lpdf(y[n] | k, 1); } "
         "target += hmm_marginal(l, G, rep_vector(1.0 / 3, 3));", -3 * HALF),
        ("simplex[4] w;", "vector[4] l = log(w); for (k in 1:4) l[k] += normal_lpdf(y | k, 1); "
         "target += log_sum_exp(l);", -math.log(6)),
        ("real m;", "target += n * normal_lccdf(3 | m, 1);", None),  # censored data
        # A variable of one block is not one of the same name in another.
        ("real m;", "{ real v = m; y ~ normal(v, 1); } { real v = 3; v ~ normal(0, 1); }", None),
        ("real m;", "for (v in 1:2) { y[v] ~ normal(m, 1); } { real v = y[1]; v ~ normal(m, 1); }",
         None),
    ],
)  # fmt: skip
def test_a_parameter_without_a_prior_is_remarked_on(
    tmp_path: Path, parameters: str, model: str, mass: float | None
) -> None:
    (remark,) = look(tmp_path, parameters, model)
    assert remark.line == 3
    assert "may have no prior: it appears" in remark.what
    assert remark.log_mass == (None if mass is None else pytest.approx(mass, rel=1e-9))


def test_a_function_of_the_programs_own_may_hold_the_prior(tmp_path: Path) -> None:
    before = "functions { real f_lpdf(real y, real m) { return normal_lpdf(y | m, 1); } }"
    assert look(tmp_path, "real m;", "y ~ f(m);", before) == ()
    assert look(tmp_path, "real m;", "target += f_lpdf(y | m);", before) == ()
    assert len(look(tmp_path, "real m;", "y ~ normal(m, 1);", before)) == 1


@pytest.mark.parametrize(
    ("parameters", "model", "mass"),
    [
        ("ordered[3] b;", "b ~ normal(0, 1);", -math.log(6)),
        ("ordered[H] b;", "b ~ normal(0, 1);", None),
        ("ordered[2] b;", "b[1] ~ normal(-1, 1); b[2] ~ normal(1, 1);", None),
        ("ordered[3] b;", "b ~ normal(m, 1);", None),  # m may be a vector
        ("ordered[3] b; real m;", "b ~ normal(m, 1); m ~ normal(0, 1);", -math.log(6)),
        ("ordered[3] b;", "for (k in 1:3) b[k] ~ normal(0, 1);", -math.log(6)),
        ("ordered[3] b;", "for (k in 1:3) b[k] ~ normal(k, 1);", None),
        ("ordered[3] b;", "for (k in 1:2) b[k] ~ normal(0, 1);", None),
        ("array[2] ordered[3] b;", "for (i in 1:2) b[i] ~ normal(0, 1);", -2 * math.log(6)),
        ("ordered[3] b;", "real lp = normal_lpdf(b | 0, 2); target += lp;", -math.log(6)),
        ("ordered[2] b;", "b ~ normal(0, 2); for (n in 1:N) { vector[2] l; for (k in 1:2) "
         "l[k] = normal_lpdf(y[n] | b[k], 1); target += log_sum_exp(l); }", -HALF),
        ("positive_ordered[3] b;", "b ~ exponential(1);", -math.log(6)),
        ("positive_ordered[3] b;", "b ~ normal(0, 1);", -math.log(6) - 3 * HALF),
    ],
)  # fmt: skip
def test_a_prior_without_the_order_is_remarked_on(
    tmp_path: Path, parameters: str, model: str, mass: float | None
) -> None:
    found = look(tmp_path, parameters, model)
    assert found
    for remark in found:
        assert "may leave the order out" in remark.what
        assert "lgamma(num_elements(b) + 1)" in remark.remedy
        assert remark.log_mass == (None if mass is None else pytest.approx(mass, rel=1e-9))


def test_an_ordered_vector_with_a_joint_prior_is_remarked_on(tmp_path: Path) -> None:
    (remark,) = look(tmp_path, "ordered[3] b;", "b ~ multi_normal(m, S);")
    assert tells(str(remark), "probability", "in order")
    assert remark.log_mass is None


# ---------------------------------------------------------------- mixtures, and other spaces


@pytest.mark.parametrize(
    ("parameters", "model", "mass", "said"),
    [
        ("real<lower=0> s;", "log_mix(0.5, normal_lpdf(s | 0, 1), cauchy_lpdf(s | 0, 2))", -HALF,
         "is 0.5"),
        ("real<lower=0> s;", "log_mix(0.5, normal_lpdf(s | 0, 1), normal_lpdf(s | 1, 1))", None,
         "between 0.5 and 0.8413"),
        ("real<lower=0> s;", "log_mix(0.5, normal_lpdf(s | 0, 1), normal_lpdf(s | a, 1))", None,
         "less than 1"),
        ("ordered[3] b;", "log_mix(0.5, normal_lpdf(b | 0, 1), normal_lpdf(b | 0, 2))",
         -math.log(6), "1 / K!"),
    ],
)  # fmt: skip
def test_a_mixture_as_a_prior_is_remarked_on(
    tmp_path: Path, parameters: str, model: str, mass: float | None, said: str
) -> None:
    (remark,) = look(tmp_path, parameters, f"target += {model};")
    assert "a mixture of normal(0, 1) and" in remark.what
    assert said in remark.why
    assert remark.log_mass == (None if mass is None else pytest.approx(mass, rel=1e-9))


@pytest.mark.parametrize(
    ("parameters", "model", "mass"),
    [
        ("simplex[3] p;", "p ~ gamma(1, 1);", -1 - HALF),
        ("simplex[3] p;", "p ~ uniform(0, 1);", -HALF),
        ("simplex[3] p;", "p ~ normal(0, 1);", None),
        ("simplex[3] p;", "p ~ normal(m, 1);", None),
        ("array[2] simplex[3] p;", "for (i in 1:2) for (k in 1:3) p[i, k] ~ exponential(1);",
         -2 - 2 * HALF),
        ("unit_vector[2] u;", "u ~ std_normal();", -0.5),
        ("corr_matrix[3] R;", "to_vector(R) ~ normal(0, 1);", None),
        ("cov_matrix[3] S;", "to_vector(S) ~ normal(0, 1);", None),
        ("cholesky_factor_corr[3] L;", "to_vector(L) ~ normal(0, 1);", None),
    ],
)  # fmt: skip
def test_independent_elements_of_a_surface_are_remarked_on(
    tmp_path: Path, parameters: str, model: str, mass: float | None
) -> None:
    (remark,) = look(tmp_path, parameters, model)
    assert tells(str(remark), "not integrate to 1")
    assert remark.log_mass == (None if mass is None else pytest.approx(mass, rel=1e-9))


@pytest.mark.parametrize(
    ("name", "args"),
    [("gamma", (2.0, 1.5)), ("exponential", (0.7,)), ("chi_square", (3.0,)), ("uniform", (0, 2))],
)
def test_integrals_over_a_simplex(name: str, args: tuple[float, ...]) -> None:
    """Against quadrature over the first two of three shares."""
    density = FAMILIES[name].scipy(*args).pdf  # type: ignore[misc]
    truth, _ = integrate.dblquad(
        lambda y, x: density(x) * density(y) * density(1 - x - y), 0, 1, 0, lambda x: 1 - x
    )
    assert log_mass_on_simplex(name, args, 3) == pytest.approx(math.log(truth), abs=1e-6)
    assert log_mass_on_simplex("weibull", (2.0, 1.0), 3) is None


def test_integrals_over_a_sphere() -> None:
    """Against quadrature over the angles."""

    def ring(angle: float) -> float:
        return math.sin(angle) * math.prod(
            stats.norm.pdf(x, 0, 0.7) for x in (math.cos(angle), math.sin(angle), 0.0)
        )

    truth = 2 * math.pi * integrate.quad(ring, 0, math.pi)[0]
    assert log_mass_on_sphere("normal", (0, 0.7), 3) == pytest.approx(math.log(truth))
    assert log_mass_on_sphere("normal", (0.1, 0.7), 3) is None


UNNORMALISED = {1: "b", 2: "s", 3: "t", 4: "p", 5: "o", 6: "q", 7: "m", 8: "u"}


@needs_tools
@pytest.mark.parametrize("kind", UNNORMALISED)
def test_what_is_said_is_the_integral_of_the_prior(kind: int) -> None:
    """The compiled prior on a grid in the unconstrained space, against the text of the program.

    The likelihoods, mixtures and sums beside these priors change nothing of what is said.
    """
    program = Program(MODELS / "unnormalised.stan")
    prior, whole = (
        Posterior(program, {"kind": kind, "prior_only": only, "y": [1.0, 2.0, 0.5]})
        for only in (1, 0)
    )
    (remark,) = remarks(whole)
    assert remark.parameter == UNNORMALISED[kind]
    prior = prior.compile(quiet=True)
    step, width = (0.05, 40.0) if prior.dims == 1 else (0.2, 15.0)
    axis = np.arange(-width, width, step)
    points = np.stack(np.meshgrid(*[axis] * prior.dims), axis=-1).reshape(-1, prior.dims)
    values = density_of(prior)(points)
    found = special.logsumexp(values) + prior.dims * math.log(step)
    assert remark.log_mass == pytest.approx(found, abs=1e-5)


# ---------------------------------------------------------------- what cannot be read


def test_a_program_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    (remark,) = look(tmp_path, "real<lower=0 x;", "")
    assert (remark.line, remark.parameter) == (0, "")
    assert "could not be read" in str(remark)
    assert isinstance(remark, Remark)


def test_an_include_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="absent"):
        look(tmp_path, "real x;", "x ~ normal(0, 1);", "\n#include absent.stan\n")


# ---------------------------------------------------------------- numbers


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 / 2", 0),
        ("-1 / 2.0", -0.5),
        ("7 %/% 2", 3),
        ("2 ^ 3", 8),
        ("sqrt(4) + square(3) - pi()", 11 - math.pi),
        ("N == 2", 1),
        ("-N * half", -1),
        ("negative_infinity()", -math.inf),
        ("M", None),
        ("N == 2 ? 3 : 0", 3),
        ("N > 2 ? 3 : N > 1 ? 4 : 5", 4),
        ("N > 1 ? N > 2 ? 3 : 4 : 5", 4),
        ("M ? 3 : 0", None),
        ("1 / 0", None),
        ("10 ^ 10 ^ 10", None),
        ("f(1)", None),
        ("x[1]", None),
        ("", None),
    ],
)
def test_constants(text: str, value: float | None) -> None:
    assert constant(text, {"N": 2, "half": 0.5}) == value


ARGS = {
    "skew_normal": (0.3, 1.2, 2.0),
    "exp_mod_normal": (0.3, 1.2, 2.0),
    "student_t": (4.0, 0.3, 1.2),
    "pareto_type_2": (0.3, 1.2, 2.0),
    "std_normal": (),
    "exponential": (1.5,),
    "chi_square": (3.0,),
    "inv_chi_square": (3.0,),
    "rayleigh": (1.5,),
    "beta_proportion": (0.4, 3.0),
    "uniform": (0.3, 2.2),
}
KERNELS = {
    # Stan's densities up to a constant, as its functions reference has them.
    "skew_normal": lambda y, m, s, a: stats.norm.pdf((y - m) / s) * stats.norm.cdf(a * (y - m) / s),
    "exp_mod_normal": lambda y, m, s, r: (
        math.exp(r / 2 * (2 * m + r * s**2 - 2 * y))
        * math.erfc((m + r * s**2 - y) / (math.sqrt(2) * s))
    ),
    "student_t": lambda y, nu, m, s: (1 + ((y - m) / s) ** 2 / nu) ** (-(nu + 1) / 2),
    "gumbel": lambda y, m, b: math.exp(-(y - m) / b - math.exp(-(y - m) / b)),
    "gamma": lambda y, a, b: y ** (a - 1) * math.exp(-b * y),
    "inv_gamma": lambda y, a, b: y ** (-a - 1) * math.exp(-b / y),
    "lognormal": lambda y, m, s: math.exp(-(((math.log(y) - m) / s) ** 2) / 2) / y,
    "inv_chi_square": lambda y, nu: y ** (-nu / 2 - 1) * math.exp(-1 / (2 * y)),
    "scaled_inv_chi_square": lambda y, nu, s: y ** (-nu / 2 - 1) * math.exp(-nu * s**2 / (2 * y)),
    "weibull": lambda y, a, s: y ** (a - 1) * math.exp(-((y / s) ** a)),
    "frechet": lambda y, a, s: y ** (-a - 1) * math.exp(-((y / s) ** -a)),
    "rayleigh": lambda y, s: y * math.exp(-(y**2) / (2 * s**2)),
    "loglogistic": lambda y, a, b: (y / a) ** (b - 1) / (1 + (y / a) ** b) ** 2,
    "beta_proportion": lambda y, m, k: y ** (m * k - 1) * (1 - y) ** ((1 - m) * k - 1),
    "pareto": lambda y, low, a: y ** (-a - 1),
    "pareto_type_2": lambda y, m, s, a: (1 + (y - m) / s) ** (-a - 1),
    "exponential": lambda y, r: math.exp(-r * y),
    "double_exponential": lambda y, m, s: math.exp(-abs(y - m) / s),
}


@pytest.mark.parametrize("name", KERNELS)
def test_the_mass_between_bounds_is_that_of_stans_density(name: str) -> None:
    """Arguments in Stan's order and parameterisation: quadrature of the kernel."""
    args = ARGS.get(name, (0.6, 1.3))
    family = FAMILIES[name]
    low = max(constant(family.support([str(a) for a in args])[0], {"inf": math.inf}) or 0, -60.0)
    high = 1.0 if name == "beta_proportion" else np.inf
    a, b = low + 0.2, low + 0.7
    if low == -60:
        low, high, a, b = -60, 60, 0.2, 0.7
    inside, _ = integrate.quad(KERNELS[name], a, b, args=args)
    outside = sum(
        integrate.quad(KERNELS[name], *ends, args=args)[0]
        for ends in ((low, a), (b, b + 5 if high == np.inf else min(high, b + 5)))
    )
    if high == np.inf or high > b + 5:
        outside += integrate.quad(KERNELS[name], b + 5, high, args=args)[0]
    found = mass_between(family, [repr(x) for x in args], repr(a), repr(b), {})
    assert found.log == pytest.approx(math.log(inside / (inside + outside)), rel=1e-6)
