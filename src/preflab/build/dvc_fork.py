"""DVC imported once and forked for each stage: `python -m preflab.build.dvc_fork SOCKET`, which schedule.Runner starts.

Importing DVC takes half a second.  The rest of `dvc repro -s STAGE` takes another half second for every 30 stages in
dvc.lock, because DVC rewrites the whole file with a YAML parser that keeps comments.  A fork runs the same command in
its own process, with two functions of DVC replaced (tests/test_dvc_fork.py compares each with DVC itself):

* `spliced` rewrites the lines of one stage in dvc.lock and gives the same bytes;
* the repository lock is tried every 10 ms instead of every 500 ms.

Both are only used with the DVC version that they were tested with, TESTED.  Any other version runs as it is.

    Runner ── socket: stage, [log, lock, status] ──▶ serve ── fork ──▶ dvc --wait-for-lock repro -s STAGE
       ▲ ◀──────────────── pid ──────────────────────┘                          │
       └─────────────────────────── status: exit code ──────────────────────────┘

A fork that outlives both of its parents still holds `lock` and writes `log`.
"""

import contextlib
import importlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from preflab.errors import PreflabError

Modify = Callable[..., AbstractContextManager[dict[str, Any]]]

TESTED = "3.67.1"  # the DVC of pyproject.toml: `spliced` and the lock are compared with it
LOCK_POLL = 0.01  # seconds between two tries to get DVC's repository lock

IMPORTS = [  # the modules that `dvc repro -s` imports once it runs; those that another version lacks are left to it
    *("dvc.cachemgr", "dvc.data_cloud", "dvc.repo.artifacts", "dvc.repo.datasets", "dvc.repo.metrics"),
    *("dvc.repo.params", "dvc.repo.plots", "dvc.repo.reproduce", "dvc.repo.stage", "dvc.rwlock", "dvc.stage.run"),
    *("dvc_data.hashfile.db.local", "dvc_data.hashfile.status", "configobj", "dulwich.worktree", "pyparsing"),
    *("ruamel.yaml", "scmrepo.git"),
]


class Child:
    """The process of one stage, which leads a process group of the same number.

    `status`: the file descriptor from which the exit code can be read.
    """

    def __init__(self, pid: int, status: int) -> None:
        self.pid, self._status = pid, status
        self.ended = threading.Event()

    def wait(self) -> int:
        """Wait for the end and return DVC's exit code, or -9 (SIGKILL) if the process was killed before it gave one.

        Only one thread may call this, once.
        """
        try:
            with os.fdopen(self._status, "rb") as status:
                return int(status.read() or -signal.SIGKILL)
        finally:
            self.ended.set()


class Forks:
    """The process that imports DVC and forks, as its parent sees it.

    `root`: the workspace; `environment`: the variables of all stages.
    """

    def __init__(self, root: Path, environment: dict[str, str]) -> None:
        self._socket, child_socket = socket.socketpair()
        with child_socket:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "preflab.build.dvc_fork", str(child_socket.fileno())],
                cwd=root,
                env=environment,
                stdin=subprocess.DEVNULL,
                pass_fds=(child_socket.fileno(),),
                start_new_session=True,
            )

    def start(self, stage: str, log: int, lock: int) -> Child:
        """Start `stage` and return its process.  Only one thread at a time may call this.

        `log` and `lock` are file descriptors: output goes to `log`, and the stage holds `lock` until it ends.
        Raises PreflabError if DVC could not be imported.
        """
        status, child_status = os.pipe()
        try:
            socket.send_fds(self._socket, [stage.encode()], [log, lock, child_status])
            pid = self._socket.recv(32)
        except OSError:
            pid = b""
        os.close(child_status)
        if not pid:
            raise PreflabError("DVC could not be started; `python -m dvc doctor` may say why")
        return Child(int(pid), status)

    def close(self) -> None:
        """End the forking process; stages that are running continue."""
        self._socket.close()
        self._process.wait()


def serve(control: socket.socket) -> None:
    """Fork for each stage that comes through `control`, until its other end is closed."""
    import dvc.cli

    for module in IMPORTS:
        with contextlib.suppress(ModuleNotFoundError):
            importlib.import_module(module)
    dvc.cli.parse_args(["repro"])  # imports every command
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # no zombies
    while True:
        stage, descriptors, *_ = socket.recv_fds(control, 4096, 3)
        if not stage:
            return
        pid = os.fork()
        if not pid:
            control.close()
            _run(stage.decode(), *descriptors)
        os.setpgid(pid, pid)
        for descriptor in descriptors:
            os.close(descriptor)
        control.send(str(pid).encode())


def _run(stage: str, log: int, _lock: int, status: int) -> None:
    """Run the stage in the forked process, send the exit code to `status` and end.  Never returns."""
    code = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setpgid(0, 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        sys.argv = ["dvc", "--wait-for-lock", "repro", "-s", stage]
        code = repro(stage)
    except BaseException:  # every exception goes to the log, also SystemExit
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os.write(status, str(code).encode())
        os._exit(code)


def repro(stage: str) -> int:
    """Run `dvc --wait-for-lock repro -s STAGE` in this process and return its exit code."""
    import dvc
    import dvc.cli

    if dvc.__version__ == TESTED:
        _patch(stage)
    code: int = dvc.cli.main(sys.argv[1:])
    return code


def _patch(stage: str) -> None:
    """Replace DVC's repository lock and its rewriting of dvc.lock in this process, which runs only `stage`."""
    import dvc.dvcfile
    import dvc.lock

    class Lock(dvc.lock.Lock):
        def lock(self) -> None:
            while self._wait:
                try:
                    return self._do_lock()
                except dvc.lock.LockError:
                    time.sleep(LOCK_POLL)
            return super().lock()

    dvc.lock.Lock = Lock
    dvc.dvcfile.modify_yaml = spliced(stage.rpartition(":")[2], dvc.dvcfile.modify_yaml)


def spliced(name: str, modify_yaml: Modify) -> Modify:
    """A replacement of DVC's `modify_yaml` that reads and writes only the lines of the stage `name` in dvc.lock.

    `modify_yaml` is DVC's own, which takes over for a new file and for one with more keys than `schema` and `stages`.
    """

    @contextlib.contextmanager
    def modify(path: str, fs: Any = None) -> Iterator[dict[str, Any]]:
        from dvc.utils.serialize import dumps_yaml, loads_yaml

        text = Path(path).read_text() if Path(path).exists() else ""
        before, head, records = text.partition("\nstages:\n")
        if not head or re.search(r"^\S", records, re.MULTILINE):  # a new file, or one with more keys than stages
            with modify_yaml(path, fs=fs) as data:
                yield data
            return
        lines = re.search(rf"^  {re.escape(name)}:\n(?:    .*\n)*", records, re.MULTILINE)
        data = {"schema": "2.0", "stages": loads_yaml(lines[0]) if lines else {}}
        yield data
        new = dumps_yaml({"stages": {name: data["stages"][name]}}).partition("\n")[2]
        start, end = lines.span() if lines else (len(records), len(records))
        Path(path).write_text(f"{before}{head}{records[:start]}{new}{records[end:]}")

    return modify


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
