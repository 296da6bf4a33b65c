"""The table of programs by itself: plain functions stand where compiled ones would."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from o2v_jax import InputError
from o2v_jax.scoring.programs import ProgramTable

KEYS = [("encoder", batch, 8) for batch in (1, 4, 32)]


def test_each_program_is_compiled_on_first_use_and_kept():
    asked = []
    table = ProgramTable(KEYS, lambda key: asked.append(key) or (lambda: key))
    assert (table.compiled, asked) == (0, [])
    assert table[KEYS[1]]() == KEYS[1]
    assert table[KEYS[1]] is table[KEYS[1]]
    assert (table.compiled, asked) == (1, [KEYS[1]])


def test_warming_compiles_in_the_given_order():
    asked = []
    table = ProgramTable(KEYS, asked.append)
    table.warm(KEYS[::-1], threads=1)
    table.warm(KEYS)
    assert (table.compiled, asked) == (3, KEYS[::-1])


def test_other_keys_are_refused_and_leave_the_table_as_it_was():
    table = ProgramTable(KEYS, lambda key: key)
    with pytest.raises(InputError, match="no program of shape"):
        _ = table["encoder", 2, 8]
    assert table.compiled == 0


def test_threads_that_ask_at_once_wait_for_one_compilation():
    asked, single = [], threading.Barrier(8)

    def compile_slowly(key):
        asked.append(key)
        threading.Event().wait(0.1)
        return lambda: key

    def ask(table):
        single.wait()
        return table[KEYS[0]]

    with ThreadPoolExecutor(8) as pool:
        programs = list(pool.map(ask, [ProgramTable(KEYS, compile_slowly)] * 8))
    assert len(set(programs)) == len(asked) == 1


def test_a_compilation_that_fails_is_tried_again():
    answers = iter([RuntimeError("out of memory"), "a program"])

    def compile_one(key):
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    table = ProgramTable(KEYS, compile_one)
    with pytest.raises(RuntimeError, match="out of memory"):
        _ = table[KEYS[0]]
    assert table.compiled == 0
    assert table[KEYS[0]] == "a program"
