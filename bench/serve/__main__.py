"""The real server under load from another process, beside LitServe with the same network.

    python -m bench.serve [--quick] [--device cpu|gpu] [--json FILE]

Answers are compared before anything is timed, and servers take turns. `--seconds` and the other
numbers make single measurements shorter or longer.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from bench import options, servers
from bench.peers import PACKAGES
from bench.processes import Server
from bench.results import finish
from bench.serve.compilations import measure_compilations
from bench.serve.large import measure_large
from bench.serve.overload import measure_overload
from bench.serve.plan import PARTS, Plan
from bench.serve.single import measure_single
from bench.serve.soak import measure_soak
from bench.serve.text import measure_text

AFTER: dict[str, Callable[[Plan, Server], dict[str, Any]]] = {
    "text": measure_text,
    "large": measure_large,
    "overload": measure_overload,
    "compilations": measure_compilations,
    "soak": measure_soak,
}


def measure(plan: Plan, parts: tuple[str, ...]) -> dict[str, Any]:
    """Single pairs by servers of their own, the rest by one that goes through all."""
    sections: dict[str, Any] = {"not_available": {}}
    if "single" in parts:
        sections |= measure_single(plan)
    chosen = [part for part in AFTER if part in parts]
    if chosen:
        with servers.serve_ours(plan.model, plan.device) as server:
            server.wait_until_warm()
            for part in chosen:
                click.echo(f"{part} ...")
                sections |= AFTER[part](plan, server)
    return sections


@click.command()
@options.add_common
@click.option("--model", type=click.Path(path_type=Path), default=Path("checkpoints/snli-hcnn"))
@click.option("--part", "parts", type=click.Choice(PARTS), multiple=True, help="Only these.")
@click.option("--peer/--no-peer", default=True, help="Measure LitServe beside.")
@click.option("--seconds", type=float, help="Of one measurement; default 10, with --quick 2.")
@click.option("--rounds", type=click.IntRange(1), help="Of turns; default 5, with --quick 1.")
@click.option("--soak-seconds", type=float, help="Default 600, with --quick 10.")
@click.option("--requests", type=click.IntRange(1), help="Mixed ones; 100000, with --quick 2000.")
def main(
    quick: bool,
    device: str,
    file: Path | None,
    model: Path,
    parts: tuple[str, ...],
    peer: bool,
    seconds: float | None,
    rounds: int | None,
    soak_seconds: float | None,
    requests: int | None,
) -> None:
    """Measure the server."""
    options.use(device)
    plan = Plan(
        model=model.resolve(),
        device=device,
        peer=peer,
        quick=quick,
        seconds=seconds or (2.0 if quick else 10.0),
        rounds=rounds or (1 if quick else 5),
        soak_s=soak_seconds or (10.0 if quick else 600.0),
        requests=requests or (2_000 if quick else 100_000),
    )
    sections = measure(plan, parts or PARTS)
    finish("serve", sections, file, quick=quick, packages=("granian", "flask", *PACKAGES))


if __name__ == "__main__":
    main()
