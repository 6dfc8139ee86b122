"""What ``evidence --certify`` does: simulate data, bound their evidence, say what that means."""

from __future__ import annotations

import argparse
from concurrent.futures import Executor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from manymodes.density.posterior import Posterior
    from manymodes.sampling.tempered import TemperedSettings
    from manymodes.sampling.tempered.certify import Certificate


def certify_command_part(
    options: argparse.Namespace,
    posterior: Posterior,
    settings: TemperedSettings,
    executor: Executor | None,
) -> Certificate:
    """Certify the settings of tempering on simulated data; keep and print what was found.

    ``certify.json`` in the run directory holds the figures.

    Parameters
    ----------
    options : argparse.Namespace
        Of ``evidence``: ``out``, ``seed``, ``quiet``, ``workers``.
    posterior : Posterior
        Whose program is simulated, at the inputs of its data.
    settings : TemperedSettings
        Of the tempered runs.
    executor : Executor, optional
        Where tempered runs go.

    Raises
    ------
    InputError
        The program does not say how its data are simulated.
    """
    from manymodes.report.certificate_words import certificate_words
    from manymodes.results.our_files import CERTIFICATE
    from manymodes.runtime.execution import Execution
    from manymodes.runtime.storage import write_json
    from manymodes.sampling.tempered.certify import CertifySettings, certify

    certificate = certify(
        posterior,
        CertifySettings(seed=options.seed, tempered=settings),
        Execution(executor=executor, workers=options.workers, quiet=options.quiet),
    )
    said = certificate_words(certificate)
    write_json(options.out / CERTIFICATE, {**certificate.as_dict(), "verdict": said})
    if not options.json:
        print(said)
    return certificate


def check_certify(posterior: Posterior, seed: int) -> None:
    """Refuse a program that cannot be simulated, before anything is run or removed.

    Raises
    ------
    InputError
        The program does not say how its data are simulated.
    """
    from manymodes.sampling.tempered.simulate import simulated

    simulated(posterior, seed)
