"""What a transform is asked to do, by SageMaker's names, and what that means for one file."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

from o2v_jax.constants import MIB
from o2v_jax.data import Format
from o2v_jax.errors import InputError
from o2v_jax.transform.read.sources import show_path
from o2v_jax.transform.write.jsonpath import ALL, Filter, parse_filter

SplitType: TypeAlias = Literal["Line", "None"]
BatchStrategy: TypeAlias = Literal["MultiRecord", "SingleRecord"]
JoinSource: TypeAlias = Literal["Input", "None"]

MAX_PAYLOAD_MB = 6
PARQUET_SUFFIX = ".parquet"


@dataclass(frozen=True)
class TransformSettings:
    """Options of a transform job, as CreateTransformJob has them.

    Attributes:
        content_type: format of all inputs; None: by each file's ending, JSON for .json, else JSON
            Lines.
        accept: format of all outputs; None: that of the input.
        split: "Line" makes every line a record, "None" makes a file one request; None: "Line" for
            JSON Lines, "None" for JSON.
        strategy: MultiRecord fills payloads with records, SingleRecord sends each alone.
        max_payload_mb: MiB of the largest payload; 0: no limit.
        assemble: "Line" puts an end of line behind every answer; None: as `split`.
        join: Input adds each result to its input record, as SageMakerOutput.
        input_filter: JSONPath that selects what of an input record is sent.
        output_filter: JSONPath that selects what of a result, after joining, is written.
        max_seq_lens: tokens at which in0 and in1 are cut, `infer_max_seqlens` of a Content-Type;
            None: the model's own.

    Raises:
        InputError: a filter is not a JSONPath.
    """

    content_type: Format | None = None
    accept: Format | None = None
    split: SplitType | None = None
    strategy: BatchStrategy = "MultiRecord"
    max_payload_mb: int = MAX_PAYLOAD_MB
    assemble: SplitType | None = None
    join: JoinSource = "None"
    input_filter: str = ALL
    output_filter: str = ALL
    max_seq_lens: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        parse_filter(self.input_filter), parse_filter(self.output_filter)

    def of(self, file: Path) -> "FileSettings":
        """What is to be done with one file.

        Raises:
            InputError: the settings contradict each other for a file of this kind.
        """
        if is_parquet(file):
            return self._make_parquet_settings(file)
        content = self.content_type or _infer_format(file)
        split = self.split or ("Line" if content is Format.JSON_LINES else "None")
        made = FileSettings(
            content=content,
            accept=self.accept or content,
            by_line=split == "Line",
            alone=self.strategy == "SingleRecord" and split == "Line",
            longest=self.max_payload_mb * MIB or None,
            ending=b"\n" if (self.assemble or split) == "Line" else b"",
            join=self.join == "Input",
            input_filter=parse_filter(self.input_filter),
            output_filter=parse_filter(self.output_filter),
            max_seq_lens=self.max_seq_lens,
        )
        made.check(file)
        return made

    def _make_parquet_settings(self, file: Path) -> "FileSettings":
        """Results become columns beside those of the input."""
        own = TransformSettings(strategy=self.strategy, max_payload_mb=self.max_payload_mb)
        if self != own:
            reason = (
                "formats, splits, joins and filters are not for Parquet, which keeps its columns"
            )
            raise InputError(f"{show_path(file)}: {reason}")
        return replace(own.of(file.with_suffix("")), parquet=True)


@dataclass(frozen=True)
class FileSettings:
    """What is to be done with one file; see `TransformSettings`.

    Attributes:
        content: format of its records.
        accept: format of its results.
        by_line: whether every line is a record, or the file is one request.
        alone: whether every record is a payload.
        longest: bytes of the largest payload; None: no limit.
        ending: what follows every answer.
        join: whether results are added to their inputs.
        input_filter: what of a record is sent; None: all.
        output_filter: what of a result is written; None: all.
        max_seq_lens: where sequences are cut; None: where the model has it.
        parquet: whether records and results are columns; then nothing else matters.
    """

    content: Format
    accept: Format
    by_line: bool
    alone: bool
    longest: int | None
    ending: bytes
    join: bool
    input_filter: Filter | None
    output_filter: Filter | None
    max_seq_lens: tuple[int, int] | None = None
    parquet: bool = False

    @property
    def content_type(self) -> str:
        """The Content-Type of a request."""
        if self.max_seq_lens is None:
            return self.content
        return f"{self.content}; infer_max_seqlens={','.join(map(str, self.max_seq_lens))}"

    @property
    def edits(self) -> bool:
        """Whether results are joined or filtered."""
        return self.join or self.output_filter is not None

    @property
    def answers_are_rows(self) -> bool:
        """Whether results are lines, wherever a payload ends."""
        return self.accept is Format.JSON_LINES and (self.ending == b"\n" or self.edits)

    def check(self, file: Path) -> None:
        """Refuses settings that contradict each other.

        Raises:
            InputError: says what would be right.
        """
        if self.content is Format.JSON and self.by_line and not self.alone:
            raise InputError(
                f"{show_path(file)}: several JSON documents are not a payload: with split type "
                "Line and application/json give --strategy SingleRecord"
            )
        if self.join and self.accept is not self.content:
            raise InputError(
                f"{show_path(file)}: --join-source Input needs results in the input's format: "
                f"give --accept {self.content}"
            )
        if self.edits and self.accept is Format.JSON_LINES and not self.ending:
            raise InputError(
                f"{show_path(file)}: joined or filtered records are lines: "
                "give --assemble-with Line"
            )


def is_parquet(file: Path) -> bool:
    """Whether a file's name ends as those of Parquet files do."""
    return file.suffix == PARQUET_SUFFIX


def _infer_format(file: Path) -> Format:
    endings = file.suffixes[-2:] if file.suffix == ".gz" else [file.suffix]
    return Format.JSON if endings[:1] == [".json"] else Format.JSON_LINES
