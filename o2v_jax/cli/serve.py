"""`o2v serve`: the server."""

from pathlib import Path

import click

from o2v_jax.cli.options import model_option, model_path_of


@click.command()
@model_option
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    help="Port; default $SAGEMAKER_BIND_TO_PORT, else 8080.",
)
def serve(model_path: Path | None, host: str, port: int | None) -> None:
    """Answer Object2Vec requests on http://HOST:PORT/invocations until SIGTERM or Ctrl-C."""
    from serving.run import serve as run

    run(model_path_of(model_path), host=host, port=port)
