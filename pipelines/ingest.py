"""Read files of human labels, print a report on them, and with --out write them in one schema (docs/labels.md)."""

import argparse
from pathlib import Path

from preflab import cli
from preflab.errors import PreflabError


def main() -> None:
    """`python -m pipelines.ingest PATH [--out FILE]`, see `--help`.  Raises PreflabError if the labels are refused."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.ingest", description=__doc__)
    parser.add_argument("path", type=Path, help="a file, a folder of files, or a zip; gzipped or not")
    parser.add_argument("--format", help="a module of preflab.human_labels.readers (default: detected)")
    parser.add_argument(
        "--max-bad",
        type=limit,
        default=0,
        metavar="N",
        help="most rows to drop, or their share: 0.01 (default: 0)",
    )
    parser.add_argument("--tokenizer", type=Path, metavar="FOLDER", help="the base model that will read the labels")
    parser.add_argument(
        "--gpt2", type=Path, metavar="FOLDER", help="folder with GPT-2's encoder.json or vocab.json (default: fetched)"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="parquet file to write, unless the labels are refused")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    args = parser.parse_args()
    import json
    from dataclasses import asdict

    from preflab.human_labels import ingest, report_text

    report = ingest.ingest(
        args.path,
        form=args.format,
        max_bad=args.max_bad,
        tokenizer=args.tokenizer,
        gpt2=args.gpt2,
        out=args.out,
    )
    if args.json:
        print(json.dumps(asdict(report), indent=2, sort_keys=True))
    else:
        print("\n".join(report_text.lines(report)))
    if report.refused:
        raise PreflabError(report.refused)


def limit(text: str) -> float:
    """The value of --max-bad, a number of rows or a share below 1; raises ArgumentTypeError for anything else."""
    value = float(text)
    if not (0 <= value < 1 or (value >= 1 and value.is_integer())):
        raise argparse.ArgumentTypeError(f"{text}: expected a whole number, or a share below 1")
    return value


if __name__ == "__main__":
    cli.main(main)
