#!/usr/bin/env bash
# The demonstration model: sentence pairs by words, on fine-tuned GloVe vectors.
#   examples/snli/demonstration.sh RAW VECTORS WORK [option of o2v train]...
# RAW holds {train,dev,test}.tsv.gz, lines of label, sentence and sentence; VECTORS is a gzipped file
# of glove.6B.100d. Data and model go to WORK.
set -euo pipefail
raw=$1 vectors=$2 work=$3 && shift 3
o2v=${O2V:-.venv/bin/o2v}
$o2v prepare "$raw/train.tsv.gz" --no-header --label 0 --in0 1 --in1 2 --shared-vocabulary \
    --vocab-size 7000 --classes entailment,neutral,contradiction --force \
    --validation-file "$raw/dev.tsv.gz" --test-file "$raw/test.tsv.gz" --output "$work/data"
mkdir -p "$work/auxiliary"
cp "$work/data/tokenizer.json" "$work/auxiliary/"
cp "$vectors" "$work/auxiliary/glove.txt.gz"
$o2v train --data "$work/data" --auxiliary "$work/auxiliary" --license cc-by-sa-4.0 \
    --hyperparameters checkpoints/snli-hcnn.hyperparameters.json --output "$work/model" "$@"
$o2v evaluate --model "$work/model" "$work/data/test.jsonl"
