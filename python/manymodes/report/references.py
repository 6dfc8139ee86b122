"""The references that a report cites for its engines and methods."""

from __future__ import annotations

import math
from collections.abc import Iterable

from manymodes.models import ModelComparison
from manymodes.modes.comparison import Comparison

_STAN = (
    "Carpenter, Gelman, Hoffman, Lee, Goodrich, Betancourt, Brubaker, Guo, Li, Riddell (2017). "
    "Stan: a probabilistic programming language. Journal of Statistical Software 76(1)."
)
_BRIDGESTAN = (
    "Roualdes, Ward, Carpenter, Seyboldt, Axen (2023). BridgeStan: efficient in-memory access to "
    "the methods of a Stan model. Journal of Open Source Software 8(87), 5236."
)
_CHAINS = (
    "Stan Development Team. CmdStanPy, the lightweight Python interface to CmdStan.",
    "Hoffman, Gelman (2014). The No-U-Turn sampler: adaptively setting path lengths in "
    "Hamiltonian Monte Carlo. Journal of Machine Learning Research 15, 1593–1623.",
    "Robnik, Cohn-Gordon, Seljak (2025). Metropolis adjusted microcanonical Hamiltonian Monte "
    "Carlo. arXiv:2503.01707.",
    "Kumar, Carroll, Hartikainen, Martin (2019). ArviZ: a unified library for exploratory "
    "analysis of Bayesian models in Python. Journal of Open Source Software 4(33), 1143.",
    "Vehtari, Gelman, Simpson, Carpenter, Bürkner (2021). Rank-normalization, folding, and "
    "localization: an improved R-hat for assessing convergence of MCMC. Bayesian Analysis 16(2), "
    "667–718.",
    "Margossian, Hoffman, Sountsov, Riou-Durand, Vehtari, Gelman (2024). Nested R-hat: assessing "
    "the convergence of Markov chain Monte Carlo when running many short chains. Bayesian "
    "Analysis.",
    "Betancourt (2016). Diagnosing suboptimal cotangent disintegrations in Hamiltonian Monte "
    "Carlo. arXiv:1604.00695.",
    "Good (1953). The population frequencies of species and the estimation of population "
    "parameters. Biometrika 40(3–4), 237–264.",
    "Chao (1984). Nonparametric estimation of the number of classes in a population. "
    "Scandinavian Journal of Statistics 11(4), 265–270.",
)
_STACKING = (
    "Vehtari, Gelman, Gabry (2017). Practical Bayesian model evaluation using leave-one-out "
    "cross-validation and WAIC. Statistics and Computing 27, 1413–1432 (PSIS-LOO).",
    "Yao, Vehtari, Simpson, Gelman (2018). Using stacking to average Bayesian predictive "
    "distributions. Bayesian Analysis 13(3), 917–1007.",
    "Yao, Vehtari, Gelman (2022). Stacking for non-mixing Bayesian computations: the curse and "
    "blessing of multimodal posteriors. Journal of Machine Learning Research 23(79).",
)
_NESTED = (
    "Handley, Hobson, Lasenby (2015a). PolyChord: nested sampling for cosmology. Monthly Notices "
    "of the Royal Astronomical Society: Letters 450(1), L61–L65.",
    "Handley, Hobson, Lasenby (2015b). PolyChord: next-generation nested sampling. Monthly "
    "Notices of the Royal Astronomical Society 453(4), 4384–4398.",
    "Higson, Handley, Hobson, Lasenby (2019). Dynamic nested sampling: an improved algorithm for "
    "parameter estimation and evidence calculation. Statistics and Computing 29, 891–913.",
    "Fowlie, Handley, Su (2020). Nested sampling cross-checks using order statistics. Monthly "
    "Notices of the Royal Astronomical Society 497(4), 5256–5263.",
)
_TEMPERED = (
    "Syed, Bouchard-Côté, Deligiannidis, Doucet (2022). Non-reversible parallel tempering: a "
    "scalable highly parallel MCMC scheme. Journal of the Royal Statistical Society B 84(2), "
    "321–350.",
    "Neal (2011). MCMC using Hamiltonian dynamics. Handbook of Markov Chain Monte Carlo, "
    "chapter 5. Chapman and Hall/CRC.",
    "Bennett (1976). Efficient estimation of free energy differences from Monte Carlo data. "
    "Journal of Computational Physics 22(2), 245–268.",
)
_CHECKS = (
    "Meng, Wong (1996). Simulating ratios of normalizing constants via a simple identity: a "
    "theoretical exploration. Statistica Sinica 6, 831–860.",
    "Frühwirth-Schnatter (2004). Estimating marginal likelihoods for mixture and Markov switching "
    "models using bridge sampling techniques. The Econometrics Journal 7(1), 143–167.",
    "Micaletto, Vehtari (2025). Bridge sampling diagnostics. arXiv:2508.14487.",
    "Bishop (2006). Pattern Recognition and Machine Learning, section 5.7.2. Springer.",
    "Cappé, Guillin, Marin, Robert (2004). Population Monte Carlo. Journal of Computational and "
    "Graphical Statistics 13(4), 907–929.",
)
_ANESTHETIC = (
    "Handley (2019). anesthetic: nested sampling visualisation. Journal of Open Source Software "
    "4(37), 1414."
)
_MODES = (
    "Yallup, Handley, Hobson, Lasenby, Lemos (2022). Split personalities in Bayesian neural "
    "networks: the case for full marginalisation. arXiv:2205.11151."
)
_BAYES_FACTORS = (
    "Kass, Raftery (1995). Bayes factors. Journal of the American Statistical Association "
    "90(430), 773–795."
)
_DIFFERENCES = (
    "Sivula, Magnusson, Matamoros, Vehtari (2020). Uncertainty in Bayesian leave-one-out "
    "cross-validation based model comparison. arXiv:2008.10296."
)

POLYCHORD_LICENCE = (
    "PolyChord is free for academic use under its own licence, which asks that its two papers "
    "be cited in work that uses it."
)


def references(comparisons: Iterable[Comparison], *, checked: bool = False) -> tuple[str, ...]:
    """Return the references for the engines and methods that were used."""
    found = list(comparisons)
    cited = [_STAN, _BRIDGESTAN]
    if any(c.chains is not None for c in found):
        cited += _CHAINS
    if any(c.stacking is not None for c in found):
        cited += _STACKING
    if any(c.tempered is not None for c in found):
        cited += _TEMPERED
    if any(c.nested is not None for c in found):
        cited += _NESTED
    if checked:
        cited += _CHECKS
    return (*cited, _ANESTHETIC, _MODES)


def model_references(comparison: ModelComparison) -> tuple[str, ...]:
    """Return the references for a comparison of models."""
    cited = [_STAN, _BRIDGESTAN]
    if any(model.chains for model in comparison.models):
        cited += _CHAINS[:2]
    if any(math.isfinite(model.loo.value) for model in comparison.models):
        cited += (*_STACKING, _DIFFERENCES)
    if any(model.nested_runs for model in comparison.models):
        cited += (*_NESTED, _BAYES_FACTORS)
    return tuple(cited)


def chain_references() -> tuple[str, ...]:
    """Return the references for stacked chains."""
    return (_STAN, _BRIDGESTAN, *_CHAINS, *_STACKING)
