"""How well liked films are recommended: by the model, and by implicit's matrix factorisation.

    pip install 'ir-measures>=0.3.7,<1' 'implicit>=0.7.2,<0.8'
    python examples/recommendation/evaluate.py WORK

WORK is what run.sh made. Films of a user's history are not recommended again. Recall@20 and nDCG@20
are means over the users. The settings of implicit are those with the best nDCG@20 on the validation
films.
"""

import json
import sys
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from implicit.als import AlternatingLeastSquares
from ir_measures import R, calc_aggregate, nDCG

import o2v_jax

K = 20
MEASURES = (R @ K, nDCG @ K)
GRID = product((16, 32, 64, 128), (0.01, 1.0, 5.0), (1.0, 5.0, 20.0))

User = dict[str, list[str]]
Recommend = Callable[[Sequence[User]], list[list[str]]]


def read(file: Path) -> list[Any]:
    """The rows of JSON Lines."""
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def make_model_recommender(work: Path) -> Recommend:
    """By a search of the index."""
    index = o2v_jax.Index.load(work / "index", o2v_jax.load(work / "model"))

    def recommend(users: Sequence[User]) -> list[list[str]]:
        histories = [user["history"] for user in users]
        hits = index.search(histories, K, exclude=histories)
        return [[str(key) for key in found.keys] for found in hits]

    return recommend


def make_als_recommender(
    users: Sequence[User], films: Sequence[str], settings: tuple[int, float, float]
) -> Recommend:
    """By implicit feedback matrix factorisation (Hu, Koren and Volinsky 2008)."""
    numbers = {film: at for at, film in enumerate(films)}
    pairs = [(row, numbers[film]) for row, user in enumerate(users) for film in user["history"]]
    rows, columns = np.array(pairs).T
    seen = sp.csr_matrix((np.ones(len(pairs), np.float32), (rows, columns)))
    factors, regularization, alpha = settings
    model = AlternatingLeastSquares(
        factors=factors, regularization=regularization, alpha=alpha, random_state=0
    )
    model.fit(seen, show_progress=False)

    def recommend(_: Sequence[User]) -> list[list[str]]:
        found, _ = model.recommend(
            np.arange(len(users)), seen, N=K, filter_already_liked_items=True
        )
        return [[films[at] for at in row] for row in found]

    return recommend


def measure(recommend: Recommend, users: Sequence[User], part: str) -> list[float]:
    """Means over the users who have films in this part."""
    lists = recommend(users)
    wanted = {str(at): dict.fromkeys(user[part], 1) for at, user in enumerate(users) if user[part]}
    run = {at: {film: -rank for rank, film in enumerate(lists[int(at)])} for at in wanted}
    found = calc_aggregate(MEASURES, wanted, run)
    return [round(found[each], 4) for each in MEASURES]


def main(work: Path) -> None:
    """A line for each side."""
    users = read(work / "users.jsonl")
    films = [row["title"] for row in read(work / "films.jsonl")]
    ours = make_model_recommender(work)
    best = max(
        GRID,
        key=lambda each: measure(make_als_recommender(users, films, each), users, "validation")[1],
    )
    theirs = make_als_recommender(users, films, best)
    for name, side in {"model": ours, f"implicit {best}": theirs}.items():
        for part in ("validation", "test"):
            print(name, part, *map("{}={}".format, MEASURES, measure(side, users, part)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
