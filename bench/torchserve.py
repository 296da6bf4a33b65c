"""TorchServe with the same network, where it is installed and there is a Java to run it."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZipFile

from bench.peers import NotAvailableError
from bench.processes import ROOT, Server, find_free_port, serve
from bench.servers import Batching

# a line for every request, as is its default, would cost it more than the network does
_QUIET = """<Configuration>
<Appenders><Console name="out"><PatternLayout pattern="%p %m%n"/></Console></Appenders>
<Loggers><Root level="error"><AppenderRef ref="out"/></Root></Loggers>
</Configuration>
"""
_HANDLER = Path(__file__).parent / "peers" / "torchserve_handler.py"


def serve_torchserve(
    model: Path, device: str, batching: Batching
) -> AbstractContextManager[Server]:
    """TorchServe with one worker; it finds the GPU by itself if there is one.

    Raises:
        NotAvailableError: there is no Java, or it is not installed.
    """
    del device
    if shutil.which("java") is None:
        raise NotAvailableError("there is no java, which TorchServe runs on")
    if find_spec("ts") is None:
        raise NotAvailableError("no module named ts: pip install torchserve brings it")
    return _start(model, batching)


@contextmanager
def _start(model: Path, batching: Batching) -> Iterator[Server]:
    with TemporaryDirectory() as name:
        folder, port = Path(name), find_free_port()
        _archive(folder / "o2v.mar")
        config, quiet = folder / "config.properties", folder / "log4j2.xml"
        config.write_text(_write_properties(port, batching))
        quiet.write_text(_QUIET)
        words = (
            "--log-config",
            quiet,
            "--foreground",
            "--ncs",
            "--disable-token-auth",
            "--ts-config",
            config,
        )
        where = ("--model-store", folder, "--models", "o2v=o2v.mar")
        environment = {
            "O2V_MODEL": str(model),
            "TEMP": name,
            "LOG_LOCATION": name,
            "METRICS_LOCATION": name,
            "PYTHONPATH": os.pathsep.join(
                [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
            ),
        }
        with serve("ts.model_server", *words, *where, port=port, environment=environment) as server:
            yield server


def _archive(file: Path) -> None:
    about = {"modelName": "o2v", "modelVersion": "1.0", "handler": _HANDLER.name}
    manifest = {"runtime": "python", "model": about, "archiverVersion": "0.12.0"}
    with ZipFile(file, "w") as archive:
        archive.write(_HANDLER, _HANDLER.name)
        archive.writestr("MAR-INF/MANIFEST.json", json.dumps(manifest))


def _write_properties(port: int, batching: Batching) -> str:
    settings = {
        "defaultVersion": True,
        "minWorkers": 1,
        "maxWorkers": 1,
        "batchSize": batching.size,
        "maxBatchDelay": max(1, round(1000 * batching.timeout_s)),
    }
    lines = {
        "inference_address": f"http://127.0.0.1:{port}",
        "management_address": f"http://127.0.0.1:{find_free_port()}",
        "metrics_address": f"http://127.0.0.1:{find_free_port()}",
        "grpc_inference_port": find_free_port(),
        "grpc_management_port": find_free_port(),
        "default_workers_per_model": 1,
        "disable_system_metrics": "true",
        "models": json.dumps({"o2v": {"1.0": settings}}),
    }
    return "".join(f"{name}={value}\n" for name, value in lines.items())
