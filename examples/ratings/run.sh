#!/usr/bin/env bash
# Ratings: what a user would give a film, from 0.5 to 5.
#   examples/ratings/run.sh RAW WORK [option of o2v train]...
# RAW holds ratings.csv.gz with columns userId, movieId, rating. Data and model go to WORK.
set -euo pipefail
raw=$1 work=$2 here=$(dirname "$0") && shift 2
o2v=${O2V:-.venv/bin/o2v}
$o2v prepare "$raw/ratings.csv.gz" --in0 userId --in0-type value --in1 movieId --in1-type value \
    --label rating --validation 0.05 --test 0.1 --seed 0 --force --output "$work/data"
$o2v train --data "$work/data" --hyperparameters "$here/hyperparameters.json" \
    --output "$work/model" "$@"
$o2v evaluate --model "$work/model" "$work/data/test.jsonl"
