"""MLflow's web page on this machine only: `make ui`, or `python -m pipelines.ui --port 5001`."""

import argparse
import os
import socket
import sys
from pathlib import Path

from preflab import cli
from preflab.errors import PreflabError

HOST = "127.0.0.1"


def main() -> None:
    """`python -m pipelines.ui [--port N]`: print the addresses of the pages and become MLflow's server.

    Raises PreflabError if the port is not free, or MLflow's store cannot be used or is a server itself.
    """
    parser = argparse.ArgumentParser(prog="python -m pipelines.ui", description=__doc__)
    parser.add_argument("--port", type=int, default=5000, help="port on this machine (default: %(default)s)")
    port = parser.parse_args().port
    require_free(port)
    from preflab.records import spool, tracking

    root = Path.cwd()
    uri = spool.tracking_uri(root)
    if uri.startswith("http"):
        raise PreflabError(f"MLFLOW_TRACKING_URI={uri}: this is a server; open it in a browser, or unset the variable")
    tracking.replay(root)
    client = spool.reached(root)
    for name in (spool.SWEEPS, spool.STAGES):  # the addresses of their tables of runs
        experiment = client.get_experiment_by_name(name)
        print(f"{name}  http://{HOST}:{port}/#/experiments/{experiment.experiment_id}/runs")
    print("Ctrl-C ends it", flush=True)
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--backend-store-uri",
        uri,
        "--host",
        HOST,
        "--port",
        str(port),
    ]
    artifacts = (root.resolve() / "mlartifacts").as_uri()
    os.execv(sys.executable, [*command, "--default-artifact-root", artifacts, "--workers", "1"])


def require_free(port: int) -> None:
    """Raise PreflabError unless the port is free, before the server starts."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OverflowError as error:
            raise PreflabError(f"--port {port}: expected 1 to 65535") from error
        except OSError as error:
            raise PreflabError(
                f"port {port} is in use or not allowed ({error.strerror}); choose another: `make ui PORT={port + 1}`"
            ) from error


if __name__ == "__main__":
    cli.main(main)
