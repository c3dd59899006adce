"""DVC imported once and forked for each stage: `python -m preflab.build.dvc_fork SOCKET`, which schedule.Runner starts.

Importing DVC takes half a second, the rest of `dvc repro -s STAGE` as long again for every 30 stages that dvc.lock has,
because DVC rewrites all of it with a YAML parser that keeps comments.  A fork runs the same command in a process of its
own, with two things replaced (each held against DVC itself in tests/test_dvc_fork.py):

* `spliced` rewrites the stage's own lines of dvc.lock, to the same bytes;
* `Lock` looks at DVC's repository lock every 10 ms, not every 500 ms.

    Runner ── socket: stage, [log, lock, status] ──▶ here ── fork ──▶ dvc --wait-for-lock repro -s STAGE
       ▲ ◀──────────────── pid ──────────────────────┘                          │
       └─────────────────────────── status: exit code ──────────────────────────┘

A fork that outlives both of its parents still holds `lock` and writes `log`.
"""

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
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from preflab.errors import PreflabError

Modify = Callable[..., AbstractContextManager[dict[str, Any]]]

AHEAD = [  # what `dvc repro -s` imports once it runs
    *("dvc.cachemgr", "dvc.data_cloud", "dvc.repo.artifacts", "dvc.repo.datasets", "dvc.repo.metrics"),
    *("dvc.repo.params", "dvc.repo.plots", "dvc.repo.reproduce", "dvc.repo.stage", "dvc.rwlock", "dvc.stage.run"),
    *("dvc_data.hashfile.db.local", "dvc_data.hashfile.status", "configobj", "dulwich.worktree", "pyparsing"),
    *("ruamel.yaml", "scmrepo.git"),
]


class Child:
    """One stage; its process group has the same number."""

    def __init__(self, pid: int, status: int) -> None:
        self.pid, self._status = pid, status
        self.ended = threading.Event()

    def wait(self) -> int:
        """DVC's exit code; that of SIGKILL if it had no time to give one.  For one thread alone."""
        try:
            with os.fdopen(self._status, "rb") as status:
                return int(status.read() or -signal.SIGKILL)
        finally:
            self.ended.set()


class Forks:
    """The process that forks, from the side of whoever wants stages to be run.  `start`: one thread at a time."""

    def __init__(self, root: Path, environment: dict[str, str]) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "preflab.build.dvc_fork", str(theirs.fileno())],
                cwd=root,
                env=environment,
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )

    def start(self, stage: str, log: int, lock: int) -> Child:
        """`log` and `lock` are file descriptors: where the stage's output goes, and what it holds until it ends."""
        ours, theirs = os.pipe()
        try:
            socket.send_fds(self._socket, [stage.encode()], [log, lock, theirs])
            pid = self._socket.recv(32)
        except OSError:
            pid = b""
        os.close(theirs)
        if not pid:
            raise PreflabError("DVC could not be started; `python -m dvc doctor` may say why")
        return Child(int(pid), ours)

    def close(self) -> None:
        """No more stages; those that run go on."""
        self._socket.close()
        self._process.wait()


def serve(control: socket.socket) -> None:
    """Fork for each stage that is asked for, until the other side is gone."""
    import dvc.cli

    for module in AHEAD:
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
    """The fork.  Never returns."""
    code = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setpgid(0, 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        sys.argv = ["dvc", "--wait-for-lock", "repro", "-s", stage]
        code = repro(stage)
    except BaseException:  # whatever it was, it belongs into the log
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os.write(status, str(code).encode())
        os._exit(code)


def repro(stage: str) -> int:
    """`dvc --wait-for-lock repro -s STAGE`; its exit code."""
    import dvc.cli
    import dvc.dvcfile
    import dvc.lock

    class Lock(dvc.lock.Lock):
        def lock(self) -> None:
            while self._wait:
                try:
                    return self._do_lock()
                except dvc.lock.LockError:
                    time.sleep(0.01)
            return super().lock()

    dvc.lock.Lock = Lock
    dvc.dvcfile.modify_yaml = spliced(stage.rpartition(":")[2], dvc.dvcfile.modify_yaml)
    code: int = dvc.cli.main(sys.argv[1:])
    return code


def spliced(name: str, modify_yaml: Modify) -> Modify:
    """DVC's `modify_yaml` for a caller that changes no stage of dvc.lock but `name`."""

    @contextmanager
    def modify(path: str, fs: Any = None) -> Iterator[dict[str, Any]]:
        from dvc.utils.serialize import dumps_yaml, loads_yaml

        text = Path(path).read_text() if Path(path).exists() else ""
        before, head, records = text.partition("\nstages:\n")
        if not head or re.search(r"^\S", records, re.MULTILINE):  # a new file, or more in it than stages
            with modify_yaml(path, fs=fs) as data:
                yield data
            return
        mine = re.search(rf"^  {re.escape(name)}:\n(?:    .*\n)*", records, re.MULTILINE)
        data = {"schema": "2.0", "stages": loads_yaml(mine[0]) if mine else {}}
        yield data
        new = dumps_yaml({"stages": {name: data["stages"][name]}}).partition("\n")[2]
        start, end = mine.span() if mine else (len(records), len(records))
        Path(path).write_text(f"{before}{head}{records[:start]}{new}{records[end:]}")

    return modify


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
