#!/usr/bin/env bash
# Retrieval: the abstract of a title, and the rest of the abstract that a sentence is from.
#   examples/retrieval/run.sh RAW WORK [option of o2v train]...
# RAW is as pairs.py says. Data and model go to WORK; evaluate.py then ranks all test documents.
set -euo pipefail
raw=$1 work=$2 here=$(dirname "$0") && shift 2
o2v=${O2V:-.venv/bin/o2v} python=${PYTHON:-.venv/bin/python}
$python "$here/pairs.py" "$raw" "$work/pairs"
$o2v prepare "$work/pairs/train.tsv" --no-header --label 0 --in0 1 --in1 2 --in0-type tokens \
    --in1-type tokens --shared-vocabulary --min-count 2 --output-layer softmax --force \
    --validation-file "$work/pairs/dev.tsv" --test-file "$work/pairs/test.tsv" \
    --output "$work/data"
$o2v train --data "$work/data" --hyperparameters "$here/hyperparameters.json" \
    --output "$work/model" "$@"
$o2v evaluate --model "$work/model" "$work/data/test.jsonl"
