"""The sentences on a certificate follow its figures."""

from __future__ import annotations

from dataclasses import replace

from manymodes.report.certificate_words import certificate_words
from manymodes.sampling.tempered.certify import Certificate
from manymodes.statistics.estimate import Estimate

ONE = Certificate(
    Estimate(-10.05, 0.03), Estimate(-9.95, 0.04), -11.0, -8.5, -10.0, 0.05, 1000, 16, 10, 40, 9,
    exact=True, seed=1,
)  # fmt: skip


def test_a_narrow_gap_says_what_the_settings_are_good_for() -> None:
    said = certificate_words(ONE)
    assert "between -10.05 ± 0.03 and -9.95 ± 0.04 nats: a gap of 0.10 ± 0.05." in said
    assert "gives -10.00 ± 0.05, which their errors and its own allow." in said
    assert said.endswith("known to about 0.2 nats, from both sides.")


def test_what_is_wrong_is_said() -> None:
    assert "outside of the bounds" in certificate_words(replace(ONE, log_z=-8.0))
    assert "certifies little" in certificate_words(replace(ONE, upper=Estimate(-7.0, 0.2)))
    one_sided = replace(ONE, lower=Estimate(float("-inf"), float("nan")))
    assert "on one side only" in certificate_words(one_sided)
    assert "by NUTS, not exactly" in certificate_words(replace(ONE, exact=False))
