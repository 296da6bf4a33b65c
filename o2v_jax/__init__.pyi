# The table of contents: what `import o2v_jax` offers, and the module that each name comes from.
# The package imports a name's module when the name is first used.

from .checkpoint import Model as Model
from .checkpoint import load as load
from .checkpoint import pack as pack
from .checkpoint import save as save
from .data.ragged import Ragged as Ragged
from .data.text_tokenizers import TextTokenizer as TextTokenizer
from .data.tokenizers import Tokenizer as Tokenizer
from .data.vocabulary import Vocabulary as Vocabulary
from .errors import CheckpointError as CheckpointError
from .errors import HyperparameterError as HyperparameterError
from .errors import InputError as InputError
from .errors import O2VError as O2VError
from .errors import RecordError as RecordError
from .evaluation import Evaluation as Evaluation
from .evaluation import RankingEvaluation as RankingEvaluation
from .evaluation import evaluate as evaluate
from .evaluation import evaluate_ranking as evaluate_ranking
from .hyperparameters import EncoderConfig as EncoderConfig
from .hyperparameters import Hyperparameters as Hyperparameters
from .hyperparameters import InBatchObjective as InBatchObjective
from .model import Object2Vec as Object2Vec
from .model import compare_fn as compare_fn
from .model import encode_fn as encode_fn
from .model import init as init
from .model import logits_fn as logits_fn
from .model import score_fn as score_fn
from .retrieval import Hits as Hits
from .retrieval import Index as Index
from .retrieval import ItemTable as ItemTable
from .scoring import Ranking as Ranking
from .scoring import Scorer as Scorer
from .scoring import use_compilation_cache as use_compilation_cache
from .training import train as train

__version__: str
