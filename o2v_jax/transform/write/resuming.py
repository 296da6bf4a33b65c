"""How a run resumes from what earlier commands left, and which of that it must not overwrite.

Results of records are never replaced by those of other settings or another input, unless the user
says so. Where there are no results, there is nothing to lose, and a corrected command just runs.
"""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from o2v_jax.errors import InputError
from o2v_jax.transform.read.parts import Position
from o2v_jax.transform.read.sources import Source, show_path
from o2v_jax.transform.write.origin import describe_differences, hash_path, read_origin
from o2v_jax.transform.write.outputs import complete
from o2v_jax.transform.write.state import Entry, FileProgress, RunState, UnreadableError

log = logging.getLogger("o2v_jax")

_NO_RESUME = "--no-resume to start over"


def resume_run(
    state: RunState,
    identity: Mapping[str, Any],
    sources: Sequence[Source],
    *,
    knows_model: bool = True,
) -> None:
    """Resumes the run in `state`, or begins one; complete results are kept.

    Args:
        state: of the earlier run, if any.
        identity: the settings and the model.
        sources: the files.
        knows_model: whether another model would have another identity. If not, an unfinished run
            resumes, but results of finished ones are an error.

    Raises:
        InputError: results must not be replaced; the message says what differs, and what to do.
    """
    if not _continue_run(state, identity, sources):
        state.clear(identity, _find_empty_results(state))
    changed = state.number(sources)
    _complete_others(state)
    outdated = [
        number for number in range(len(sources)) if _starts_over(state, number, sources, changed)
    ]
    state.note_all(
        {number: FileProgress() for number in outdated if state.of(number) != FileProgress()}
    )
    kept = dict(_find_kept(state, identity, sources, knows_model=knows_model))
    state.write_manifest()
    state.note_all(kept)


def _complete_others(state: RunState) -> None:
    """Renames complete results of files not given now, if an earlier run was killed before."""
    for entry, progress, partial in state.list_others():
        target = state.folder.parent / entry.output
        if not progress.position.final or os.path.lexists(target):
            continue
        try:
            complete(partial, target, state.make_origin_of(entry, progress))
        except InputError as error:
            log.warning("%s", error)


def _continue_run(state: RunState, identity: Mapping[str, Any], sources: Sequence[Source]) -> bool:
    """Reads the state; returns whether it is a run of this identity. Another one has no results."""
    if not state.begun:
        return False
    folder = show_path(state.folder)
    try:
        state.read()
    except UnreadableError as error:
        if _has_results(state, sources):
            raise InputError(f"{folder}: {error}: give {_NO_RESUME} and replace results") from error
        log.warning("%s: %s, but nothing was done: the run starts over", folder, error)
        return False
    other = describe_differences(state.manifest.identity, identity)
    if other and state.done:
        raise InputError(
            f"{folder}: holds an unfinished run with other settings ({other}): give the same "
            f"command to resume it, another --output, or {_NO_RESUME} and replace its results"
        )
    return not other


def _has_results(state: RunState, sources: Sequence[Source]) -> bool:
    """Whether there may be results of a run whose state cannot be read."""
    if any(partial.stat().st_size for partial in state.folder.glob("*.out")):
        return True
    return any(os.path.lexists(state.folder.parent / source.target) for source in sources)


def _find_empty_results(state: RunState) -> list[Path]:
    """Finds results without a record, left by a run that does not continue."""
    folder = state.folder.parent
    others = state.list_others()  # none has a number yet
    return [folder / entry.output for entry, done, _ in others if done.position.final]


def _starts_over(
    state: RunState, number: int, sources: Sequence[Source], changed: Sequence[int]
) -> bool:
    """Whether the results that are there for a file cannot be used.

    Raises:
        InputError: they are results of the file before it changed, and the user must decide.
    """
    source = sources[number]
    progress = state.of(number)
    target = state.folder.parent / source.target
    partial = state.partial(number)
    path = show_path(source.path)
    there = os.path.lexists(target) or partial.exists()  # false too for a name that is too long
    if number in changed:
        if progress.position.final and progress.records and there:
            raise InputError(
                f"{show_path(state.folder)}: holds results of what {path} was before it changed: "
                f"remove {show_path(target)} to have it done again, or give {_NO_RESUME}"
            )
        if progress.position.final and os.path.lexists(target):
            target.unlink()
        log.info("%s: has changed and starts over", path)
        return True
    if progress.position.final:
        lost = not there
    else:
        lost = progress.written > (partial.stat().st_size if partial.exists() else 0)
    if lost:
        log.info("%s: its results are gone and are made again", path)
    return lost


def _find_kept(
    state: RunState, identity: Mapping[str, Any], sources: Sequence[Source], *, knows_model: bool
) -> Iterator[tuple[int, FileProgress]]:
    """Finds files whose results an earlier command completed, unknown to the state."""
    for number, source in enumerate(sources):
        target = state.folder.parent / source.target
        if state.of(number).position.final or not os.path.lexists(target):
            continue
        if progress := _read_progress(target, source, identity):
            if progress.records and not knows_model:
                raise InputError(
                    f"{show_path(target)}: exists already: --no-resume replaces results (a server "
                    "does not say which model it has, so that these may be of another one)"
                )
            yield number, progress


def _read_progress(
    target: Path, source: Source, identity: Mapping[str, Any]
) -> FileProgress | None:
    """Reads the progress of a complete file; useless results without a record are removed."""
    origin = read_origin(target)
    shown = show_path(target)
    if origin is None:
        raise InputError(f"{shown}: exists already: --no-resume replaces results")
    other = describe_differences(origin.identity, identity)
    now = Entry.of(source)
    same = (origin.input, origin.size, origin.modified) == (
        hash_path(now.input),
        now.size,
        now.modified,
    )
    if same and not other:
        position = Position(read=source.size, final=True)
        return FileProgress(position, 0, origin.records, origin.errors)
    if not origin.records:
        target.unlink()
        return None
    if other:
        raise InputError(
            f"{shown}: holds results made with other settings ({other}): give the same command, "
            f"another --output, or {_NO_RESUME} and replace results"
        )
    raise InputError(
        f"{shown}: holds results of another file than {show_path(source.path)}, or of what that "
        f"was before it changed: remove {shown} to have it done again, or give {_NO_RESUME}"
    )
