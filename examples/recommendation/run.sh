#!/usr/bin/env bash
# Recommendation: films for someone who likes some films.
#   examples/recommendation/run.sh RAW WORK [option of o2v train]...
# RAW is as films.py says. Data, model and an index of all films go to WORK; evaluate.py then
# measures what it recommends.
set -euo pipefail
raw=$1 work=$2 here=$(dirname "$0") && shift 2
o2v=${O2V:-.venv/bin/o2v} python=${PYTHON:-.venv/bin/python}
$python "$here/films.py" "$raw" "$work"
$o2v prepare "$work/train.jsonl" --in0 liked --in1 film --in0-type tokens --in1-type tokens \
    --shared-vocabulary --validation-file "$work/validation.jsonl" --force --output "$work/data"
$o2v train --data "$work/data" --objective in_batch --temperature 0.1 --correct-popularity \
    --hyperparameters "$here/hyperparameters.json" --output "$work/model" "$@"
$o2v index "$work/films.jsonl" --model "$work/model" --column film --key title \
    --output "$work/index"
