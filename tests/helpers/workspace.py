"""A git + DVC repository with the project's own conf/, dvc.yaml and orchestration, and stub stages of milliseconds.

Each execution of a stub appends `<kind> <id>` to executions.log, so that a test can count them.  With STUB_GATE=KIND
the stubs of a kind wait for `open_gate`, but not for ever.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import yaml

from helpers import PROJECT
from preflab.grid import code

STAGES = [
    "fetch",
    "model",
    "pretrain",
    "prepare",
    "comparisons",
    "human_labels",
    "human_comparisons",
    "reward",
    "ppo",
    "sft",
    "evaluate",
    "report",
]

STUB = """
import hashlib, json, os, sys, time
from datetime import UTC, datetime
from pathlib import Path

name, options = sys.argv[1], dict(zip(sys.argv[2::2], sys.argv[3::2]))
params = Path(name)
kind = params.parent.name if params.parent.name != "params" else "report"
with open("executions.log", "a") as log:
    log.write(f"{kind} {params.stem}\\n")
if os.environ.get("STUB_FAIL") == f"{kind} {params.stem}":
    sys.exit("error: the stub was told to fail")
if os.environ.get("STUB_GATE") == kind:
    end = time.monotonic() + 500
    while not os.path.exists("gate") and time.monotonic() < end:
        time.sleep(0.02)

def content(path):
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    return b"".join(p.read_bytes() for p in files)

inputs = [Path(v) for k, v in options.items() if k not in ("--out", "--metrics", "--curve", "--run")]
digest = hashlib.md5(b"".join(content(p) for p in [params, *inputs])).hexdigest()
value = int(digest[:4], 16) / 65536

def write(path, text):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)

if kind == "report":
    files = ["index.md", "index.html", "claims.md", "claims.json", "samples.md", "provenance.md", "report.json"]
    for file in [*files, "tables/1.csv", "figures/1.svg"]:
        write(f"{options['--out']}/{file}", "{}")
    sys.exit()
write(f"{options['--out']}/weights.txt", digest)
if "--metrics" in options:
    metrics = {"win_rate": value, "kl": 10 * value, "true_score": value, "reward_model": value}
    write(options["--metrics"], json.dumps(metrics))
if "--curve" in options:
    rows = "".join(f"{i},{i},{i * value},{i * value},{value}\\n" for i in range(3))
    write(options["--curve"], "step,episode,true_score,kl,loss\\n" + rows)
if "--run" in options:
    record = {"run_id": None, "kind": kind, "id": params.stem, "started": datetime.now(UTC).isoformat(), "wall_s": 0.1}
    record |= {"params_sha256": hashlib.sha256(params.read_bytes()).hexdigest(), "inputs": {}}
    write(options["--run"], json.dumps(record))
"""

SMALL = {"base": ["scale=1/100", "episode_scale=1/1000"], "product": {"labels": ["5k", "60k"]}, "seeds": [1]}


def environment(**more: str) -> dict[str, str]:
    """PATH with this interpreter's dvc and python, PYTHONPATH with our library; MLflow is away unless asked for."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "DVC_", "PREFLAB_", "STUB_"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
    env |= {"PATH": path, "PYTHONPATH": str(PROJECT / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    return env | {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"} | more


def run(root: Path, *command: str, check: bool = True, **env: str) -> subprocess.CompletedProcess[str]:
    """A command as a user types it, in the workspace."""
    done = subprocess.run(command, cwd=root, env=environment(**env), capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done


def start(root: Path, *arguments: str, **env: str) -> "subprocess.Popen[str]":
    """A Python module in the background, which Ctrl-C reaches even if a shell has started the tests with `&`."""
    command = [sys.executable, "-m", *arguments]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    options["preexec_fn"] = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
    return subprocess.Popen(command, cwd=root, env=environment(**env), **options)  # type: ignore[call-overload,no-any-return]


def python(root: Path, *arguments: str, check: bool = True, **env: str) -> subprocess.CompletedProcess[str]:
    return run(root, "python", "-m", *arguments, check=check, **env)


def make(root: Path, spec: dict[str, object] | None = None) -> Path:
    """The workspace, with conf/grid/quick.yaml replaced by `spec` (SMALL) and instances.yaml generated from it."""
    root.mkdir(parents=True, exist_ok=True)
    shutil.copytree(PROJECT / "conf", root / "conf")
    for name in ("dvc.yaml", ".dvcignore", ".gitignore"):
        shutil.copy(PROJECT / name, root / name)
    (root / "conf" / "grid" / "quick.yaml").write_text(yaml.safe_dump(spec or SMALL))
    (root / "pipelines").mkdir()
    for name in ("grid.py", "sweep.py"):
        shutil.copy(PROJECT / "pipelines" / name, root / "pipelines" / name)
    for stage in STAGES:
        (root / "pipelines" / f"{stage}.py").write_text(STUB)
    write_code(root)
    (root / "src" / "preflab" / "report" / "page.html.j2").touch()
    run(root, "git", "init", "-q")
    run(root, "dvc", "init", "-q")
    shutil.copy(PROJECT / ".dvc" / "config", root / ".dvc" / "config")
    shutil.copy(PROJECT / ".dvcignore", root / ".dvcignore")
    python(root, "pipelines.grid", "quick")
    run(root, "git", "add", "-A")
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    run(root, "git", *identity, "commit", "-q", "-m", "a workspace of stubs")
    return root


def write_code(root: Path) -> None:
    """src/ of stubs that import each other as the real modules do, so that stages depend on the same code."""
    src = PROJECT / "src"
    for real in sorted((src / "preflab").rglob("*.py")):
        file = root / real.relative_to(PROJECT)
        file.parent.mkdir(parents=True, exist_ok=True)
        imports = sorted({f"    import {module_name(other)}\n" for other in code.imported(src, real)})
        file.write_text('STUB = "stub"\nif STUB != "stub":  # never\n    import preflab\n' + "".join(imports))


def module_name(file: Path) -> str:
    """`preflab.report.page` of src/preflab/report/page.py."""
    return ".".join(file.relative_to(PROJECT / "src").with_suffix("").parts).removesuffix(".__init__")


def copy(template: Path, root: Path) -> Path:
    """Another workspace with everything that `template` has built."""
    shutil.copytree(template, root, symlinks=True)
    return root


def open_gate(root: Path) -> None:
    """Let the stubs that wait go on."""
    (root / "gate").touch()


def executions(root: Path) -> Counter[str]:
    """How often each stub has run."""
    log = root / "executions.log"
    return Counter(log.read_text().splitlines()) if log.exists() else Counter()
