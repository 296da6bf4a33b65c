"""The ranks of what belongs to queries, from which metrics and reports are made."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from o2v_jax.arguments import require_integer, require_path
from o2v_jax.evaluation.evaluation import WORST, describe_model, show_object
from o2v_jax.evaluation.intervals import Estimate, Values, estimate_mean, estimate_proportion
from o2v_jax.evaluation.ranked_lists import RankedLists
from o2v_jax.evaluation.report import RankingContents, WorstQuery, write_report
from o2v_jax.scoring import Scorer
from o2v_jax.scoring.query_scores import ScoreQueries
from o2v_jax.scoring.relevance import Ranks, find_first, measure_queries


@dataclass(frozen=True, eq=False, repr=False)
class RankingEvaluation:
    """How well a model ranks: what `evaluate_ranking` returns.

    Attributes:
        scorer: the model's.
        query_side: the side of the queries, 0 or 1.
        lists: what was ranked for which query.
        score: gives the scores of queries beside all candidates.
        pair_ranks: float64 `[relevant pairs]`, the rank of each pair of `lists.relevance`.
    """

    scorer: Scorer
    query_side: Literal[0, 1]
    lists: RankedLists
    score: ScoreQueries
    pair_ranks: Ranks

    def __repr__(self) -> str:
        """The metrics, a line each."""
        queries, candidates = (f"{self.metrics[name]:,}" for name in ("queries", "candidates"))
        lines = [f"RankingEvaluation of {queries} queries among {candidates} candidates"]
        if without := self.metrics["queries_without_positive"]:
            lines.append(f"left out, without a relevant candidate: {without:,}")
        lines += [f"{name} {each.value:.4g}" for name, each in self.figures.items()]
        return "\n  ".join(lines)

    @property
    def ranks(self) -> Ranks:
        """The rank of what each pair gives in the list of its query, from 1, float64 `[pairs]`.

        Equal scores share the mean of their ranks, and scores that are NaN come last. NaN stands
        for a pair that is not relevant.
        """
        pair_of = self.lists.pair_of
        return np.where(pair_of < 0, np.nan, self.pair_ranks[pair_of])

    @cached_property
    def metrics(self) -> dict[str, float]:
        """The metrics by name: means over the queries that have a relevant candidate.

        `mrr` (of 1 / the best rank), `hits_at_1`, `hits_at_10` and `hits_at_20` (queries with a
        relevant candidate among the first k), `recall_at_1`, `recall_at_10` and `recall_at_20`
        (share of the relevant candidates among the first k), `ndcg_at_10` and `ndcg_at_20`
        (normalized discounted cumulative gain), and `mean_rank` (of the best rank). Then the
        numbers of `queries`, of `queries_without_positive`, which are not among them, and of
        `candidates`.
        """
        relevance, queries = self.lists.relevance, len(self._values["mean_rank"])
        return {
            **{name: float(values.mean()) for name, values in self._values.items()},
            "queries": queries,
            "queries_without_positive": relevance.number_of_queries - queries,
            "candidates": relevance.number_of_candidates,
        }

    @cached_property
    def figures(self) -> dict[str, Estimate]:
        """The means among the metrics, with their 95 % intervals over queries."""
        return {name: _estimate(name, values) for name, values in self._values.items()}

    def list_worst(self, count: int = WORST) -> list[WorstQuery]:
        """The queries whose relevant candidates are found last, the worst first.

        Tokens are those that the model saw, after the cut at its max_seq_len.
        """
        count = require_integer("count", count, 0)
        relevance = self.lists.relevance
        order = np.lexsort((self.pair_ranks, relevance.queries))  # the best of each query first
        best = order[np.searchsorted(relevance.queries, np.unique(relevance.queries))]
        best = best[np.argsort(-self.pair_ranks[best], kind="stable")][:count]
        queries, candidates = relevance.queries[best], relevance.candidates[best]
        first = find_first(self.score, queries, relevance, self.lists.excluded)
        numbers = zip(*(each.tolist() for each in (best, queries, candidates, first)), strict=True)
        return [
            WorstQuery(
                self._show_query(query),
                self._show_candidate(candidate),
                float(self.pair_ranks[pair]),
                self._show_candidate(before),
            )
            for pair, query, candidate, before in numbers
        ]

    def write(self, folder: str | Path, *, about: Mapping[str, str] | None = None) -> Path:
        """Writes a report: `report.html`, which needs no other file, `report.json` and a plot.

        All of it appears in one step; an earlier report is replaced.

        Args:
            folder: a new name, an empty folder or an earlier report.
            about: what the head of the page says beside the figures, such as the name of the data.

        Returns:
            The page's path.

        Raises:
            MissingExtraError: what draws the plot and the page is not installed.
            InputError: the folder holds other things, or cannot be written.
        """
        return write_report(require_path("folder", folder), self.make_contents(about or {}))

    def make_contents(self, about: Mapping[str, str]) -> RankingContents:
        """The contents of the report that `write` writes."""
        return RankingContents(
            {**describe_model(self.scorer.config, self.scorer.dtype), **about},
            self.metrics,
            self.figures,
            self.list_worst(),
            self._values["mean_rank"],
            self._expect_best_rank(),
        )

    @cached_property
    def _values(self) -> dict[str, Values]:
        return measure_queries(self.pair_ranks, self.lists.relevance)

    def _expect_best_rank(self) -> float:
        """The mean rank of the first relevant candidate of a list in random order."""
        relevance = self.lists.relevance
        excluded = self.lists.excluded.subtract(relevance).counts
        counts = relevance.counts
        asked = counts > 0
        listed = relevance.number_of_candidates - excluded[asked]
        return float(np.mean((listed + 1) / (counts[asked] + 1)))

    def _show_query(self, number: int) -> str:
        ids = self.lists.queries.row(number).tolist()
        return show_object(ids, self.query_side, self.scorer.tokenizers)

    def _show_candidate(self, number: int) -> str:
        ids = self.lists.candidates.row(number).tolist()
        return show_object(ids, 1 - self.query_side, self.scorer.tokenizers)


def _estimate(name: str, values: Values) -> Estimate:
    """The mean of a metric over queries; hits are a proportion."""
    if name == "mean_rank":
        return estimate_mean(values, lowest=1.0)
    if name.startswith("hits"):
        return estimate_proportion(int(values.sum()), len(values))
    return estimate_mean(values, lowest=0.0, highest=1.0)
