#!/usr/bin/env bash
# Sentence pairs: entailment, neutral or contradiction.
#   examples/snli/run.sh RAW WORK [option of o2v train]...
# RAW holds {train,dev,test}.tsv.gz, lines of label, sentence and sentence. Data and model go to WORK.
set -euo pipefail
raw=$1 work=$2 && shift 2
o2v=${O2V:-.venv/bin/o2v}
$o2v prepare "$raw/train.tsv.gz" --no-header --label 0 --in0 1 --in1 2 --shared-vocabulary \
    --in0-tokenizer treebank --vocab-size 10240 --classes entailment,neutral,contradiction --force \
    --validation-file "$raw/dev.tsv.gz" --test-file "$raw/test.tsv.gz" --output "$work/data"
$o2v train --data "$work/data" --hyperparameters examples/snli/hyperparameters.json \
    --seed 2 --output "$work/model" "$@"
$o2v evaluate --model "$work/model" "$work/data/test.jsonl"
