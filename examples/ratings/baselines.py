"""What the ratings recipe is measured beside: means, and matrix factorisation by LensKit.

    pip install 'lenskit>=2025.6,<2026'
    python examples/ratings/baselines.py DATA

DATA is the folder that `o2v prepare` wrote. Settings are chosen on the validation records.
"""

import json
import sys
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from lenskit.als import BiasedMFScorer
from lenskit.data import ItemList, from_interactions_df
from lenskit.pipeline import Component

Table = pd.DataFrame
Ratings = npt.NDArray[np.float64]


def read(file: Path) -> Table:
    """Columns user_id, item_id, rating."""
    rows = (json.loads(line) for line in file.open())
    return pd.DataFrame(
        [(row["in0"][0], row["in1"][0], row["label"]) for row in rows],
        columns=["user_id", "item_id", "rating"],
    )


def rmse(predicted: Ratings, table: Table) -> float:
    """Root of the mean squared error."""
    return float(np.sqrt(np.mean((predicted - table.rating.to_numpy()) ** 2)))


def means(train: Table, movies: float, users: float, table: Table) -> Ratings:
    """Global mean, then the movie's, then the user's deviation, each shrunk towards 0."""
    overall = train.rating.mean()
    by_movie = shrunk(train.rating - overall, train.item_id, movies)
    rest = train.rating - overall - train.item_id.map(by_movie)
    by_user = shrunk(rest, train.user_id, users)
    deviations = table.item_id.map(by_movie).fillna(0) + table.user_id.map(by_user).fillna(0)
    return np.asarray(overall + deviations, np.float64)


def shrunk(values: Any, groups: Any, damping: float) -> Any:
    """The mean of each group, as if `damping` values of 0 belonged to it."""
    grouped = values.groupby(groups)
    return grouped.sum() / (grouped.count() + damping)


def factorised(model: Component, table: Table, fallback: Ratings) -> Ratings:
    """Scores of a trained LensKit model, clipped to the scale; the fallback where it has none."""
    predicted = np.empty(len(table))
    for user, rows in table.groupby("user_id").indices.items():
        items = ItemList(item_ids=table.item_id.to_numpy()[rows])
        predicted[rows] = model(query=user, items=items).scores()
    return np.where(np.isnan(predicted), fallback, predicted).clip(0.5, 5)


def main(data: Path) -> None:
    """Prints a line for each baseline: settings, validation and test RMSE."""
    train, validation, test = (read(data / f"{n}.jsonl") for n in ("train", "validation", "test"))
    grid = list(product((0, 2, 5, 10), (0, 2, 5, 10)))
    best = min(grid, key=lambda damping: rmse(means(train, *damping, validation), validation))
    scores = [rmse(means(train, *best, part), part) for part in (validation, test)]
    print("means, damping", best, *scores)
    known = from_interactions_df(train)
    results = []
    for size, weight in product((8, 16, 32, 64), (0.05, 0.1, 0.2, 0.4)):
        model = BiasedMFScorer(features=size, regularization=weight, epochs=20)
        model.train(known)
        parts = [
            rmse(factorised(model, part, means(train, *best, part)), part)
            for part in (validation, test)
        ]
        results.append((*parts, size, weight))
        print("factors", size, "regularisation", weight, *parts)
    print("best by validation:", min(results))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
