"""How much of what is computed is padding, by the planner alone."""

import bench.lengths as lengths_of
from o2v_jax.scoring.buckets import (
    fit_boundaries,
    make_bucket_table,
    make_geometric_boundaries,
    plan,
)
from o2v_jax.scoring.device_profile import CPU

RECORDS = 1000


def compute_padding(name: str, buckets: int, *, fitted: bool) -> float:
    """Padded tokens over computed ones, both sides of `RECORDS` pairs of a distribution.

    Args:
        name: of the distribution.
        buckets: number of length buckets, the same for both sides.
        fitted: to the distribution, or geometric.
    """
    histograms = lengths_of.read_histograms(name)
    longest = max(len(counts) - 1 for counts in histograms)
    total = sum_sides(histograms, longest)
    if fitted:
        boundaries = fit_boundaries(total, longest, buckets)
    else:
        boundaries = make_geometric_boundaries(longest, buckets)
    table = make_bucket_table(boundaries, CPU.max_tokens["hcnn"])
    real = computed = 0
    for rows in lengths_of.draw_pairs(name, RECORDS, vocab_size=2):
        real += len(rows.ids)
        computed += sum(step.batch * step.length for step in plan(rows.lengths, table))
    return 1 - real / computed


def sum_sides(histograms: lengths_of.Histograms, longest: int) -> lengths_of.Histogram:
    """Adds up the counts of both sides."""
    total = histograms[0].copy()
    total.resize(longest + 1)
    total[: len(histograms[1])] += histograms[1]
    return total
