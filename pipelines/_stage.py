"""The script of every stage: read the settings, call the body in stages/, write what it returns."""

import argparse
import importlib
import inspect
from pathlib import Path

from preflab import cli
from preflab.errors import PreflabError


def main(script: str, about: str | None) -> None:
    """Run `python -m pipelines.SCRIPT params/KIND/ID.yaml --INPUT … --out …` and exit.  `about`: its docstring."""
    cli.main(lambda: run(script, about))


def run(script: str, about: str | None) -> None:
    """Parse the command line and run the stage.  With torchrun only the first process writes results and a record.

    Raises PreflabError if an input is not named or a setting is wrong, and what the body raises.
    """
    from preflab.grid import instances_yaml
    from preflab.grid.kinds import KINDS, kind_of

    kinds = [kind for kind in KINDS.values() if kind.script == script]
    inputs = list(dict.fromkeys(option for kind in kinds for option in kind.reads))
    args = parser(script, about, inputs, curve=any(_curve(kind.results) for kind in kinds)).parse_args()
    from preflab import files
    from preflab.machine import checkpoint, parallel
    from preflab.records import tracking
    from preflab.settings.load import load

    kind = KINDS[kind_of(args.params, script)]
    if missing := [option for option in kind.reads if getattr(args, option) is None]:
        raise PreflabError(
            f"{args.params}: the stage {kind.name} reads " + " and ".join(map(_flag, missing)) + "; name the folder"
        )
    if kind.shares:
        parallel.launch(f"pipelines.{script}")
    cfg = load(kind.name, args.params)
    folders = {option: getattr(args, option) for option in kind.reads}
    body = importlib.import_module(f"preflab.stages.{script}")
    with parallel.joined(), tracking.stage(kind.name, args.run, args.params, folders) as record:
        arguments = {**folders, "out": args.out, "log": record}
        if kind.resumes:
            read = [args.params, *instances_yaml.code_file(args.params), *folders.values()]
            arguments["work"] = checkpoint.folder_for(f"{kind.name}-{args.params.stem}", *read)
        parameters = inspect.signature(body.run).parameters
        result = body.run(cfg, **{name: value for name, value in arguments.items() if name in parameters})
        if parallel.rank():
            return
        if args.metrics:
            files.write_json(args.metrics, result.metrics)
        if getattr(args, "curve", None):
            files.write_csv(args.curve, result.curve, body.COLUMNS)
        record.summary(result.metrics)
        if kind.resumes:
            checkpoint.remove(arguments["work"])


def parser(script: str, about: str | None, inputs: list[str], curve: bool) -> argparse.ArgumentParser:
    """The command line of a stage; `inputs`: the options that name folders of other stages."""
    command = argparse.ArgumentParser(prog=f"python -m pipelines.{script}", description=about)
    command.add_argument("params", type=Path, help="settings of this instance: params/KIND/ID.yaml")
    for option in inputs:
        command.add_argument(_flag(option), type=Path, metavar="FOLDER", help=INPUTS[option])
    command.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="folder for its output")
    command.add_argument("--metrics", type=Path, metavar="FILE", help="JSON file for its final numbers")
    command.add_argument(
        "--curve",
        type=Path,
        metavar="FILE",
        help="CSV file for its curve" if curve else argparse.SUPPRESS,
    )
    command.add_argument(
        "--run", type=Path, metavar="FILE", help="JSON file for the run record (default: none is kept)"
    )
    return command


INPUTS = {
    "corpus": "output of the stage fetch",
    "classifier_corpus": "output of the stage fetch for the corpus whose labels train the classifiers",
    "model": "output of the stage model, pretrain or sft: the base model and reference",
    "queries": "output of the stage prepare",
    "labels": "output of the stage human_labels",
    "comparisons": "output of the stage comparisons or human_comparisons",
    "reward": "output of the stage reward",
    "policy": "output of the stage ppo or sft",
    "reference": "output of the stage zero_shot, to compare with",
}


def _flag(option: str) -> str:
    return f"--{option.replace('_', '-')}"


def _curve(results: dict[str, str]) -> bool:
    return any(path.endswith(".csv") for path in results.values())
