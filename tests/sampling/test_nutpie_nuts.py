"""nutpie over the same compiled library: the same posterior, the same results object."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import SAMPLE_STATS, Y_NORMAL, closed_form, needs_tools, small_network
from manymodes.density.posterior import Posterior
from manymodes.errors import DensityError, InputError, SamplingError, TimeLimitError
from manymodes.sampling.chains.cmdstan_nuts import Adapted, run_chain
from manymodes.sampling.chains.nutpie_nuts import need_nutpie, run_nutpie
from manymodes.sampling.chains.nuts_settings import NutsSettings
from manymodes.sampling.chains.samplers import SAMPLERS, check_sampler, sampler_named

NOWHERE = Path("not-written-to")
SHORT = NutsSettings(warmup=100, draws=60)

needs_nutpie = pytest.mark.skipif(
    importlib.util.find_spec("nutpie") is None, reason="nutpie is not installed"
)


# ---------------------------------------------------------------- samplers by name


def test_samplers_have_names() -> None:
    assert set(SAMPLERS) == {"cmdstan", "nutpie", "mams"}
    assert sampler_named("cmdstan") is run_chain
    check_sampler("cmdstan")
    check_sampler("cmdstan", share_warmup=True)
    with pytest.raises(InputError, match="sampler: 'emcee' is unknown; allowed are cmdstan, nutp"):
        check_sampler("emcee")


def test_without_nutpie_one_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"^sampler: nutpie is not installed; install it with"):
        check_sampler("nutpie")


# ---------------------------------------------------------------- the chain


@needs_nutpie
def test_draws_are_of_the_posterior(normal: Posterior) -> None:
    """Mean and variance within 4 standard errors, at a quarter of the draws as effective size."""
    settings = NutsSettings(warmup=300, draws=2000)
    chain = run_nutpie(normal, settings, 5, NOWHERE, start=np.zeros(1))
    precision = len(Y_NORMAL) + 1 / 4
    mean, sd = Y_NORMAL.sum() / precision, precision**-0.5
    n = settings.draws / 4
    assert abs(chain.eta.mean() - mean) < 4 * sd / np.sqrt(n)
    assert chain.eta.var() == pytest.approx(sd**2, rel=4 * np.sqrt(2 / n))
    assert not NOWHERE.exists()


@needs_tools
@needs_nutpie
def test_a_chain_is_like_cmdstans() -> None:
    """Shapes, names and units; a density is below the energy by the kinetic energy."""
    posterior = small_network().compile()
    start = np.full(posterior.dims, 0.5)
    chain = run_nutpie(posterior, SHORT, 1, NOWHERE, start=start)
    assert chain.eta.shape == (60, posterior.dims)
    np.testing.assert_array_equal(chain.rows, posterior.constrain_rows(chain.eta))
    assert set(chain.stats) == SAMPLE_STATS
    assert all(v.shape == (60,) and v.dtype == float for v in chain.stats.values())
    lp = [posterior.log_density(eta) for eta in chain.eta]
    np.testing.assert_allclose(chain.stats["lp"], lp, rtol=1e-12)
    assert (chain.stats["energy"] > -chain.stats["lp"]).all()
    assert (chain.stats["n_steps"] < 2 ** (chain.stats["tree_depth"] + 1)).all()
    assert ((chain.stats["acceptance_rate"] > 0) & (chain.stats["acceptance_rate"] <= 1)).all()
    assert set(chain.stats["diverging"]) <= {0.0, 1.0}
    assert chain.inv_metric.shape == (posterior.dims,)
    assert chain.step_size == pytest.approx(chain.stats["step_size"].mean(), rel=0.1)
    assert 0 < chain.sampling_seconds <= chain.seconds
    assert not chain.cut


@needs_nutpie
def test_settings_seed_and_start_decide(normal: Posterior) -> None:
    start = np.array([0.25])

    def draws(seed: int = 1, start: Any = start, **changes: Any) -> Any:
        return run_nutpie(normal, replace(SHORT, **changes), seed, NOWHERE, start=start)

    first = draws()
    np.testing.assert_array_equal(first.eta, draws().eta)
    assert (first.eta != draws(seed=2).eta).any()
    assert (first.eta != draws(start=-start).eta).any()
    assert len(draws(draws=33).eta) == 33
    assert draws(adapt_delta=0.99).step_size < first.step_size
    assert draws(max_treedepth=1).stats["tree_depth"].max() == 1
    assert len(draws(warmup=1).eta) == 60
    assert len(draws(start=None).eta) == 60


@needs_nutpie
def test_the_first_step_begins_at_the_start(normal: Posterior) -> None:
    seen: list[float] = []
    posterior = replace(normal)

    class Watched:
        def __getattr__(self, name: str) -> Any:
            return getattr(normal.model, name)

        def log_density_gradient(self, point: Any, **options: Any) -> Any:
            seen.append(float(point[0]))
            return normal.model.log_density_gradient(point, **options)

    posterior.__dict__["model"] = Watched()
    run_nutpie(posterior, SHORT, 1, NOWHERE, start=np.array([1.375]))
    assert seen[:2] == [1.375, 1.375]  # ours, and nutpie's first


@needs_nutpie
def test_a_point_that_stan_rejects_is_a_divergence(normal: Posterior) -> None:
    """The posterior without its left half: no draw there, and the chain goes on."""

    class Half(Posterior):
        def gradient(self, eta: Any) -> Any:
            if eta[0] < 0.8:
                raise DensityError("rejected")
            return super().gradient(eta)

    posterior = Half(normal.program, normal.data)
    chain = run_nutpie(posterior, SHORT, 1, NOWHERE, start=np.ones(1))
    assert chain.eta.min() >= 0.8
    assert chain.stats["diverging"].sum() > 0


# ---------------------------------------------------------------- failures


@needs_tools
@needs_nutpie
def test_a_start_without_a_density_is_reported_in_stans_words() -> None:
    with pytest.raises(SamplingError, match=r"cannot start from its point: .*point is rejected"):
        run_nutpie(closed_form(rejects=True), SHORT, 1, NOWHERE, start=np.zeros(1))


@needs_nutpie
@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"seed": 0}, "seed: 0"),
        ({"start": np.zeros(2)}, "start: shape"),
        ({"settings": NutsSettings(warmup=0)}, "warmup: 0 is not 1 or more, which nutpie needs"),
        ({"adapted": Adapted(np.ones(1), 1.0, 10)}, "share_warmup: nutpie takes no metric"),
    ],
)
def test_what_nutpie_cannot_do_is_refused(
    normal: Posterior, options: dict[str, Any], what: str
) -> None:
    with pytest.raises(InputError, match=r"^share_warmup: nutpie takes no metric"):
        check_sampler("nutpie", share_warmup=True)
    given: dict[str, Any] = {"settings": SHORT, "seed": 1, "scratch": NOWHERE, **options}
    with pytest.raises(InputError, match=f"^{what}"):
        run_nutpie(normal, **given)


@needs_nutpie
def test_the_time_limit_keeps_what_there_is(normal: Posterior) -> None:
    endless = NutsSettings(warmup=20, draws=1_000_000)
    chain = run_nutpie(normal, endless, 1, NOWHERE, start=np.zeros(1), time_limit=0.5)
    assert chain.cut
    assert 4 <= len(chain.eta) == len(chain.rows) < endless.draws
    first = run_nutpie(normal, replace(endless, draws=4), 1, NOWHERE, start=np.zeros(1))
    np.testing.assert_array_equal(chain.eta[:4], first.eta)
    never = NutsSettings(warmup=10_000_000, draws=10)
    with pytest.raises(TimeLimitError, match=r"limit of 0\.2 s came in warm-up, at iteration \d+"):
        run_nutpie(normal, never, 1, NOWHERE, start=np.zeros(1), time_limit=0.2)


@needs_nutpie
def test_nutpie_is_imported_without_a_word(capfd: pytest.CaptureFixture[str]) -> None:
    assert need_nutpie().__name__ == "nutpie"
    assert capfd.readouterr() == ("", "")
