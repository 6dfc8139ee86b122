"""Bayesian posteriors with many modes: chains, nested sampling, and their comparison.

>>> import manymodes as mm
>>> network = mm.Network(inputs=2, hidden=(2,), activation="sigmoid", prior="uniform:5")
>>> posterior = mm.Posterior.from_network(network, X, y)            # doctest: +SKIP
>>> chains = mm.run_chains(posterior, chains=64)                    # doctest: +SKIP
>>> nested = mm.run_nested(posterior, runs=2)                       # doctest: +SKIP
>>> mm.compare(posterior, chains=chains, nested=nested).summaries   # doctest: +SKIP

In the examples of docstrings ``mm`` is this package, ``np`` is NumPy and ``pd`` is pandas. What an
example takes for granted besides, such as ``chains``, its first line says.
"""

from __future__ import annotations

import lazy_loader

from manymodes._version import __version__ as __version__

# Nothing is imported before it is asked for, so that the command line starts at once.
__getattr__, _, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ = ["__version__", *__all__]


def __dir__() -> list[str]:
    """Return the public names, those not yet imported too."""
    return list(__all__)
