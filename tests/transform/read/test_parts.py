"""How files become payloads: SageMaker's rules, and the same parts wherever a run goes on."""

import gzip
import random
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from o2v_jax.constants import MIB
from o2v_jax.errors import InputError
from o2v_jax.transform import Position, TransformSettings, read_parts
from o2v_jax.transform.read.parts import PART_BYTES

START = Position()


@pytest.fixture
def lines(tmp_path):
    """A file of 3 MB with lines of all lengths, blank ones too, and no newline at its end."""
    rng = random.Random(0)
    texts = [b"x" * rng.randrange(0, 3000) for _ in range(2000)]
    path = tmp_path / "lines.jsonl"
    path.write_bytes(b"\n".join([*texts, b"the last"]))
    return path


@pytest.fixture(scope="module")
def sdk(tmp_path_factory):
    """The module by which the SageMaker SDK's local mode splits and batches."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAGEMAKER_SUPPRESS_V2_WARNING", "1")
        import sagemaker.local.data  # noqa: PLC0415 - takes seconds, and reads the variable

        yield sagemaker.local.data


def settings_of(longest=MIB, **options):
    return replace(TransformSettings(**options).of(Path("a.jsonl")), longest=longest)


def comparable(part):
    """Without the bytes read of a compressed file, which are only to be shown."""
    return part._replace(end=part.end._replace(read=0))


def payloads(path, settings, start=START):
    return [text for part in read_parts(path, settings, start) for text in part.texts if text]


@pytest.mark.parametrize("longest", [3001, 10_000, 99_999, 2**20])
def test_multi_record_payloads_are_those_of_the_sdk(sdk, lines, longest):
    mine = payloads(lines, settings_of(longest))
    # the SDK measures the str object, with its header, and wants that to be less than its limit
    limit = (longest + sys.getsizeof("") + 1) / MIB
    theirs = sdk.MultiRecordStrategy(sdk.LineSplitter()).pad(str(lines), limit)
    assert mine == [text.encode() for text in theirs]
    assert max(map(len, mine)) <= longest
    assert b"".join(mine) == lines.read_bytes()


def test_single_records_are_those_of_the_sdk(sdk, lines):
    theirs = list(sdk.SingleRecordStrategy(sdk.LineSplitter()).pad(str(lines), 1))
    mine = payloads(lines, settings_of(strategy="SingleRecord"))
    assert b"".join(mine).splitlines() == [text.rstrip("\n").encode() for text in theirs]


def test_a_file_that_is_not_split_is_one_payload(sdk, lines):
    (mine,) = payloads(lines, settings_of(8 * MIB, split="None"))
    assert mine == next(sdk.NoneSplitter().split(str(lines))).encode()


@pytest.mark.parametrize("longest", [3001, 2**20, None])
@pytest.mark.parametrize("compressed", [False, True])
def test_a_run_goes_on_with_the_parts_of_an_undisturbed_one(tmp_path, longest, compressed):
    rng = random.Random(1)
    lines = [rng.randbytes(rng.randrange(1350)).hex().encode() + b"\n" for _ in range(14_000)]
    content = b"\xef\xbb\xbf" + b"".join(lines)
    path = tmp_path / "a.jsonl"
    path.write_bytes(gzip.compress(content, 1) if compressed else content)
    parts = list(read_parts(path, settings_of(longest), START))
    assert len(parts) >= 3
    assert b"".join(text for part in parts for text in part.texts) == content[3:]
    for before, part in enumerate(parts[1:]):
        again = list(read_parts(path, settings_of(longest), parts[before].end))
        assert list(map(comparable, again)) == list(map(comparable, parts[before + 1 :]))
        assert part.line == parts[before].end.lines + 1
    assert [part.end.final for part in parts] == [False] * (len(parts) - 1) + [True]
    assert parts[-1].end.read == path.stat().st_size
    assert parts[-1].end.lines == 14_000


def test_parts_are_bounded(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"123456789\n" * (3 * PART_BYTES // 10))
    for longest in (1000, MIB, 6 * MIB, None):
        parts = list(read_parts(path, settings_of(longest), START))
        sizes = [sum(map(len, part.texts)) for part in parts]
        assert max(sizes) <= PART_BYTES
        assert len(parts) <= 5


@pytest.mark.parametrize(
    ("length", "kept"), [(999, 999), (1000, 1000), (1001, 1001), (9 * MIB, MIB + 2000)]
)
def test_of_a_line_that_is_too_long_only_the_beginning_is_read(tmp_path, length, kept):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"a\n" + b"y" * length + b"\nb\n")
    parts = list(read_parts(path, settings_of(1000), START))
    texts = [text for part in parts for text in part.texts]
    lines = b"".join(texts).split(b"\n")
    assert (lines[0], lines[2], lines[3]) == (b"a", b"b", b"")
    assert len(lines[1]) == length or 1000 < len(lines[1]) <= kept
    assert parts[-1].end[:2] == (length + 5, 3)


@pytest.mark.parametrize("longest", [None, 100 * MIB])
def test_long_lines_are_records_where_payloads_may_be_long(tmp_path, longest):
    path = tmp_path / "a.jsonl"
    long = b"y" * (PART_BYTES + 3 * MIB + 7)
    path.write_bytes(b"a\n" + long + b"\nb")
    for strategy in ("MultiRecord", "SingleRecord"):
        texts = payloads(path, settings_of(longest, strategy=strategy))
        assert b"".join(texts).split(b"\n") == [b"a", long, b"b"]


@pytest.mark.parametrize("content", [b"", b"\n", b"\n\n", b"\xef\xbb\xbf"])
def test_empty_files_have_one_final_part(tmp_path, content):
    path = tmp_path / "a.jsonl"
    path.write_bytes(content)
    (part,) = read_parts(path, settings_of(), START)
    assert part.end.final
    assert not b"".join(part.texts).strip()


def test_damaged_files_are_named(tmp_path):
    path = tmp_path / "a.jsonl.gz"
    whole = gzip.compress(random.Random(0).randbytes(9999))
    path.write_bytes(whole[:-100])
    with pytest.raises(InputError, match=r"a\.jsonl\.gz: is damaged gzip"):
        list(read_parts(path, settings_of(), START))
    path.write_bytes(whole[:500] + b"garbage" + whole[507:])
    with pytest.raises(InputError, match=r"a\.jsonl\.gz: is damaged gzip"):
        list(read_parts(path, settings_of(), START))
    with pytest.raises(InputError, match=r"nothing.jsonl: cannot be read \(No such file"):
        list(read_parts(tmp_path / "nothing.jsonl", settings_of(), START))
