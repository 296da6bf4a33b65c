"""Evaluation: what a model reaches on labelled records, with intervals, plots and a page."""

from o2v_jax.evaluation.evaluation import Evaluation, evaluate
from o2v_jax.evaluation.ranking import evaluate_ranking, rank_pairs
from o2v_jax.evaluation.ranking_evaluation import RankingEvaluation
from o2v_jax.evaluation.report import check_report_target

__all__ = [
    "Evaluation",
    "RankingEvaluation",
    "check_report_target",
    "evaluate",
    "evaluate_ranking",
    "rank_pairs",
]
