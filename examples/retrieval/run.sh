#!/usr/bin/env bash
# Retrieval: papers, the abstract of a title and the rest of the abstract that a sentence is from; or
# commands, the one that does what a description says.
#   examples/retrieval/run.sh papers|commands RAW VECTORS WORK [option of o2v train]...
# RAW is as papers.py or commands.py says, VECTORS a gzipped file of glove.6B.100d. Data and model
# go to WORK, with an index of all documents; evaluate.py then ranks those of test, beside TF-IDF.
set -euo pipefail
pairs=$1 raw=$2 vectors=$3 work=$4 here=$(dirname "$0") && shift 4
o2v=${O2V:-.venv/bin/o2v} python=${PYTHON:-.venv/bin/python}
$python "$here/$pairs.py" "$raw" "$work/pairs"
$o2v prepare "$work/pairs/train.tsv" --no-header --in0 0 --in1 1 --in0-type tokens \
    --in1-type tokens --shared-vocabulary --min-count 2 --force \
    --validation-file "$work/pairs/dev.tsv" --test-file "$work/pairs/test.tsv" \
    --output "$work/data"
$python "$here/vectors.py" "$work/data" "$vectors" "$work/auxiliary"
$o2v train --data "$work/data" --auxiliary "$work/auxiliary" --objective in_batch \
    --hyperparameters "$here/hyperparameters.json" --output "$work/model" "$@"
$o2v evaluate --ranking --model "$work/model" "$work/data/test.jsonl"
$o2v index "$work/pairs/documents.jsonl" --model "$work/model" --column text --key name \
    --output "$work/index"
