"""The public names: where each lives. They are imported when they are first asked for."""

from .density.posterior import Posterior as Posterior
from .density.program import Program as Program
from .errors import EngineError as EngineError
from .errors import InputError as InputError
from .errors import ManymodesError as ManymodesError
from .errors import StorageError as StorageError
from .models import ModelComparison as ModelComparison
from .models import compare_models as compare_models
from .modes.active_units import ActiveUnits as ActiveUnits
from .modes.active_units import active_evidence as active_evidence
from .modes.active_units import posterior_active as posterior_active
from .modes.checks import Checks as Checks
from .modes.checks import check as check
from .modes.comparison import Comparison as Comparison
from .modes.comparison import compare as compare
from .modes.diagnosis import Diagnosis as Diagnosis
from .modes.diagnosis import diagnose as diagnose
from .modes.find import Modes as Modes
from .modes.find import ModeSettings as ModeSettings
from .modes.find import find_modes as find_modes
from .networks.audit import Audit as Audit
from .networks.audit import audit as audit
from .networks.audit import evidence_shift as evidence_shift
from .networks.network import Network as Network
from .report import write_report as write_report
from .report.audit_words import audit_text as audit_text
from .results.predict import Predictions as Predictions
from .results.predict import predict_table as predict_table
from .results.run_directory import Results as Results
from .results.run_directory import load as load
from .results.stacked_draws import stack_draws as stack_draws
from .runtime.executors import dask_executor as dask_executor
from .runtime.executors import mpi_executor as mpi_executor
from .sampling.chains.chains import Chains as Chains
from .sampling.chains.chains import run_chains as run_chains
from .sampling.chains.nuts_settings import NutsSettings as NutsSettings
from .sampling.chains.settings import ChainSettings as ChainSettings
from .sampling.nested import Nested as Nested
from .sampling.nested import run_nested as run_nested
from .sampling.nested.settings import NestedSettings as NestedSettings
from .sampling.nested.settings import PolyChordSettings as PolyChordSettings
from .statistics.loo import psis_loo as psis_loo
from .statistics.stacking import stack as stack
from .tables.table import Table as Table

__version__: str
