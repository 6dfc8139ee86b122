"""One fit of sklearn-contrib-bde, in an interpreter that has it: see `estimators.py --bde-python`.

    estimator_bde.py GIVEN.npz SETTINGS ANSWER.npz

GIVEN has X, X_test and y, standardised; SETTINGS is JSON. ANSWER has the outputs of the network for
each draw of each member, shape (draws, rows, outputs), and the processor seconds (user and
system, all threads) of fitting and predicting, JAX's compilation included and imports left out.
"""

from __future__ import annotations

import json
import resource
import sys
from typing import Any

import numpy as np
from bde import BdeClassifier, BdeRegressor
from bde.loss import CategoricalCrossEntropy, GaussianNLL


def _seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    given, text, answer = sys.argv[1:]
    settings: dict[str, Any] = json.loads(text)
    settings.pop("jobs")
    classes = settings.pop("classes")
    loss = CategoricalCrossEntropy() if classes else GaussianNLL()
    with np.load(given) as held:
        X, X_test, y = (held[name] for name in ("X", "X_test", "y"))
    begun = _seconds()
    model = (BdeClassifier if classes else BdeRegressor)(loss=loss, **settings)
    model.fit(x=X, y=y)
    raw = np.asarray(model.predict(X_test, raw=True), dtype=float)
    outputs = raw.reshape(-1, *raw.shape[2:])
    np.savez(answer, outputs=outputs, seconds=_seconds() - begun)


if __name__ == "__main__":
    main()
