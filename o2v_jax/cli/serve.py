"""`o2v serve`: the server."""

from pathlib import Path

import click

from o2v_jax.cli.options import PATH, devices_option, dtype_option, model_option
from o2v_jax.constants import STALL_S, DType


@click.command()
@model_option
@click.option(
    "--index",
    type=PATH,
    help="What o2v index wrote with this model, for POST /search; default $O2V_INDEX, else none.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    help="Port; default $SAGEMAKER_BIND_TO_PORT, else 8080.",
)
@click.option(
    "--drain-seconds",
    type=click.IntRange(0),
    default=25,
    show_default=True,
    help="How long in-flight requests get to finish after SIGTERM.",
)
@click.option(
    "--stall-seconds",
    type=click.IntRange(1, 3600),
    default=STALL_S,
    show_default=True,
    help="How long a client may neither send nor receive before it is disconnected.",
)
@dtype_option
@devices_option
def serve(
    model_path: Path | None,
    index: Path | None,
    host: str,
    port: int | None,
    drain_seconds: int,
    stall_seconds: int,
    dtype: DType,
    devices: int | None,
) -> None:
    """Answer Object2Vec requests on http://HOST:PORT until SIGTERM or Ctrl-C.

    POST /invocations scores pairs and embeds single objects, POST /rerank sorts candidates beside a
    query, and with --index POST /search finds the best items of an index.
    """
    from o2v_jax.server.run import serve as run

    limits = {"drain_s": drain_seconds, "stall_s": stall_seconds}
    run(model_path, host=host, port=port, dtype=dtype, devices=devices, index=index, **limits)
