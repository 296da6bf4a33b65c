"""Hyperparameter search: which values are tried, in which order, and what a search leaves.

`ranges` and `search_space` say what is searched; `study` says what for and keeps the trials;
`search` runs them; `report` and `plot` write what comes of it. The search itself is Optuna's
tree-structured Parzen estimator, so this package needs Optuna.
"""

from o2v_jax.extras import require_extra

require_extra("tune", __name__)

from o2v_jax.tuning.job import Tuning
from o2v_jax.tuning.ranges import DOCUMENTED
from o2v_jax.tuning.search_space import DEFAULT_SEARCH, Space, make_space
from o2v_jax.tuning.study import ObjectiveMetric

__all__ = ["DEFAULT_SEARCH", "DOCUMENTED", "ObjectiveMetric", "Space", "Tuning", "make_space"]
