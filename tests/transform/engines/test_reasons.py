"""What is wrong with a record of a transform, for somebody who gives options."""

import json
from pathlib import Path

import pytest

from o2v_jax.data import DecodeOptions
from o2v_jax.transform import TransformSettings
from o2v_jax.transform.read.parts import read_parts
from o2v_jax.transform.read.rows import read_rows
from o2v_jax.transform.write.joins import edit_answer
from o2v_jax.transform.write.state import Position


def errors(tmp_path, name, text, **settings):
    file = tmp_path / name
    file.write_text(text)
    settings = TransformSettings(**settings).of(file)
    (part,) = read_parts(file, settings, Position())
    return [
        str(error)
        for error in read_rows(part, name, settings, DecodeOptions((9, 9))).errors.values()
    ]


PAIR = '{"in0": [1], "in1": [2]}'


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.json", f"{PAIR}\n{PAIR}\n", "is JSON Lines: give --content-type application/jsonlines"),
        (
            "a.jsonl",
            f'{{"instances": [{PAIR}]}}\n',
            "is one JSON document: give --content-type application/json",
        ),
        ("a.jsonl", "{\n", "the line ends within a record: write each record on one line, as jq"),
        ("a.jsonl", PAIR * 2, "several records stand on one line: each needs a line of its own"),
    ],
)
def test_the_reason_names_an_option_and_no_header(tmp_path, name, text, said):
    (error,) = errors(tmp_path, name, text)
    assert said in error
    assert "Content-Type" not in error


@pytest.mark.parametrize("half", [r"\ud83d", r"\udc00 x"])
def test_half_a_surrogate_pair_is_kept_with_what_it_stands_in(tmp_path, half):
    record = PAIR.replace("}", f', "t": "{half}"}}')
    assert errors(tmp_path, "a.jsonl", record) == []
    assert errors(tmp_path, "a.json", f'{{"instances": [{record}]}}') == []
    assert errors(tmp_path, "a.jsonl", record, input_filter="$['in0','in1','t']") == []
    joined = edit_answer(
        b"{}", record.encode(), TransformSettings(join="Input").of(Path("a.jsonl"))
    )
    assert json.loads(joined)["t"] == json.loads(f'"{half}"')
