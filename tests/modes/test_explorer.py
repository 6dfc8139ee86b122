"""Climbs and paths in processes of their own: maxima, bounds, failures, independence of workers."""

from __future__ import annotations

import os
import signal
from typing import Any

import numpy as np
import pytest
from scipy import optimize

from conftest import closed_form, needs_tools, small_network
from manymodes.density.posterior import Posterior
from manymodes.errors import SamplingError
from manymodes.modes.explorer import Explorer, _Clock
from manymodes.modes.landscape import LOWEST, Landscape
from manymodes.runtime.printed import silence
from manymodes.sampling.base_measures import prior_measure
from seeds import seeded


def explorer_of(posterior: Posterior, workers: int | None = None) -> Explorer:
    return Explorer(Landscape(posterior, prior_measure(posterior)), workers=workers)


def starts(posterior: Posterior, number: int) -> Any:
    rng = np.random.default_rng(seeded(7))
    return rng.normal(scale=1.5, size=(number, posterior.dims))


@needs_tools
@pytest.mark.parametrize("prior", ["uniform:5", "normal:2", "student:4,2"])
def test_climbs_end_where_nothing_rises(prior: str) -> None:
    """From no end does a bounded optimiser of SciPy gain a tenth of a nat, nor does a short step.

    Its gradient is that of differences, so that it shares nothing with the climbs.
    """
    posterior = small_network(prior).compile()
    with explorer_of(posterior) as explorer:
        landscape = explorer.landscape
        ends, heights = explorer.climbs(starts(posterior, 40))
    box = landscape.bounds
    assert ((ends >= box.lb) & (ends <= box.ub)).all()
    for end, height in zip(ends, heights, strict=True):
        assert landscape.height(end) == pytest.approx(height, rel=1e-12)
        again = optimize.minimize(
            lambda u: -landscape.height(u / 30), end * 30, method="L-BFGS-B",
            bounds=optimize.Bounds(box.lb * 30, box.ub * 30),
        )  # fmt: skip
        assert -again.fun < height + 0.1
        steps = np.random.default_rng(seeded(8)).normal(scale=1e-3, size=(20, posterior.dims))
        near = [landscape.height(np.clip(end + step, box.lb, box.ub)) for step in steps]
        assert max(near) < height + 1e-4
    if prior == "uniform:5":  # eight observations that weights can fit: walls hold the maxima
        assert (np.minimum(ends - box.lb, box.ub - ends) < 1e-5).any()


@needs_tools
def test_no_climb_ends_below_its_start(xor: dict[str, Posterior]) -> None:
    posterior = xor["full"]
    points = starts(posterior, 30)
    with explorer_of(posterior) as explorer:
        _, heights = explorer.climbs(points)
        begun = [explorer.landscape.height(explorer.landscape.coordinates(p)) for p in points]
        assert explorer.gradients > 30
    assert (heights > begun).all()


@needs_tools
def test_results_do_not_depend_on_the_number_of_workers(xor: dict[str, Posterior]) -> None:
    posterior = xor["full"]
    found = []
    for workers in (1, 2, 3):
        with explorer_of(posterior, workers) as explorer:
            ends, heights = explorer.climbs(starts(posterior, 24))
            pairs = [(ends[i], ends[j]) for i in range(6) for j in range(i)]
            falls = explorer.straight_falls(pairs, 30.0)
            paths = explorer.relaxed_paths([(a, b, 0.5) for a, b in pairs[:4]])
            levels = explorer.levels(ends)
        found.append([ends, heights, falls, levels, *(np.append(p, f) for f, p in paths)])
    for other in found[1:]:
        for one, same in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(one, same)


@needs_tools
def test_the_fall_on_a_straight_line_is_that_of_its_points(xor: dict[str, Posterior]) -> None:
    with explorer_of(xor["full"]) as explorer:
        landscape = explorer.landscape
        a, b = landscape.coordinates(starts(xor["full"], 2))
        heights = [landscape.height((1 - t) * a + t * b) for t in np.linspace(0, 1, 17)]
        whole = min(heights[0], heights[-1]) - min(heights)
        assert explorer.straight_falls([(a, b)])[0] == pytest.approx(whole, rel=1e-12)
        assert explorer.straight_falls([(a, b)], 0.0)[0] <= whole + 1e-9
        assert explorer.straight_falls([]).size == 0


@needs_tools
def test_a_climb_stays_where_the_density_is_zero() -> None:
    """The program rejects every point, and a climb has nowhere to go."""
    base = prior_measure(closed_form().compile())
    with silence(), Explorer(Landscape(closed_form(rejects=True).compile(), base)) as explorer:
        ends, heights = explorer.climbs(np.array([[0.25], [2.0]]))
        assert explorer.levels(ends).tolist() == [LOWEST, LOWEST]
        assert explorer.straight_falls([(ends[0], ends[1])]).tolist() == [0.0]
    assert heights.tolist() == [LOWEST, LOWEST]
    np.testing.assert_array_equal(ends, explorer.landscape.coordinates([[0.25], [2.0]]))


@needs_tools
def test_a_killed_process_is_named(normal: Posterior) -> None:
    with explorer_of(normal, 1) as explorer:
        explorer.climbs(np.array([[0.5]]))
        os.kill(explorer._processes._started[0]._child.pid, signal.SIGKILL)
        with pytest.raises(SamplingError, match=r"climbs to modes failed: .*-9"):
            explorer.climbs(np.array([[0.7]]))


@needs_tools
def test_what_a_process_complains_of_is_passed_on(normal: Posterior) -> None:
    with explorer_of(normal, 2) as explorer, pytest.raises(SamplingError, match="another number"):
        explorer._ask("climb", [np.zeros(3), np.zeros(3)], lambda place, answer: None)
    assert not explorer._processes._started


def test_the_time_left_is_that_of_what_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("manymodes.modes.explorer.time.monotonic", lambda: now[0])
    said: list[tuple[int, str]] = []
    clock = _Clock(11, lambda done, left: said.append((done, left)), known=20)
    clock.tick()
    for _ in range(5):
        now[0] += 2.0
        clock.tick()
    assert said[0] == (20, "")
    assert said[-1] == (26, ", 10 s left")
