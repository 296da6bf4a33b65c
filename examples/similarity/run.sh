#!/usr/bin/env bash
# Sentence similarity: sentences that mean alike get like encodings.
#   examples/similarity/run.sh RAW VECTORS WORK [option of o2v train]...
# RAW and VECTORS are as words.py says. Data, model and an index of sentences go to WORK; sts.py then
# compares the cosine of two encodings with human scores.
set -euo pipefail
raw=$1 vectors=$2 work=$3 here=$(dirname "$0") && shift 3
o2v=${O2V:-.venv/bin/o2v} python=${PYTHON:-.venv/bin/python}
$python "$here/words.py" "$raw" "$vectors" "$work"
$o2v prepare "$work/train.tsv" --no-header --in0 0 --in1 1 --in0-type tokens --in1-type tokens \
    --shared-vocabulary --vocabulary "$work/auxiliary/vocab.json" --force \
    --validation-file "$work/dev.tsv" --output "$work/data"
$o2v train --data "$work/data" --auxiliary "$work/auxiliary" --objective in_batch \
    --hyperparameters "$here/hyperparameters.json" --output "$work/model" "$@"
$o2v index "$work/sentences.jsonl" --model "$work/model" --column words --key sentence \
    --output "$work/index"
