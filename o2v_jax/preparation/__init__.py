"""From raw tables to what `o2v train` reads: JSON Lines of ids, vocabularies, hyperparameters.

The first pass is in `columns`: `read` reads CSV, TSV, JSON Lines and Parquet in chunks of `rows`,
`cells` makes tokens or ids of cells and counts tokens, `label_column` and `labels` read labels, and
`split` assigns records to the parts and keeps them on the disk. The second pass is in `write`: once
all tokens are counted, `settings` gives them ids (of `subwords` if wanted) and sets the
hyperparameters, and the files are written. `job` has the order of these steps, and `report` what
they found.
"""

from o2v_jax.extras import require_extra

require_extra("data", __name__)

from o2v_jax.data.tokenizers import KINDS, Kind
from o2v_jax.preparation.in_memory import PreparedRows, PreparedTables, prepare_tables
from o2v_jax.preparation.job import Preparation
from o2v_jax.preparation.label_column import LabelColumn
from o2v_jax.preparation.prepared import Prepared, overrule, read_prepared
from o2v_jax.preparation.read.frames import infer_kind, join_columns, select_columns
from o2v_jax.preparation.read.tables import FORMS, Form, Layout, find_files
from o2v_jax.preparation.report import PreparationReport
from o2v_jax.preparation.settings import ALGORITHMS, Algorithm, Side
from o2v_jax.preparation.skipped_rows import SkippedRows
from o2v_jax.preparation.split import Split, SplitName

__all__ = [
    "ALGORITHMS",
    "FORMS",
    "KINDS",
    "Algorithm",
    "Form",
    "Kind",
    "LabelColumn",
    "Layout",
    "Preparation",
    "PreparationReport",
    "Prepared",
    "PreparedRows",
    "PreparedTables",
    "Side",
    "SkippedRows",
    "Split",
    "SplitName",
    "find_files",
    "infer_kind",
    "join_columns",
    "overrule",
    "prepare_tables",
    "read_prepared",
    "select_columns",
]
