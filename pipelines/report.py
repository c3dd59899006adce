"""Stage `report`: the paper's tables and figures with our numbers, from files or from MLflow's records."""

import argparse
from pathlib import Path

from preflab import cli
from preflab.errors import PreflabError

CLAIMS, TABLES = Path("conf/claims.yaml"), Path("conf/report.yaml")


def main() -> None:
    """`python -m pipelines.report params/report.yaml --out reports`, or `--from-mlflow SWEEP [--out DIR]`.

    Raises PreflabError if a result is missing or cannot be read, or MLflow cannot be reached.
    """
    parser = argparse.ArgumentParser(prog="python -m pipelines.report", description=__doc__)
    parser.add_argument("params", type=Path, nargs="?", help="the grid's cells (params/report.yaml)")
    parser.add_argument(
        "--from-mlflow", metavar="SWEEP", help="build from MLflow: a sweep's parent run id, or its name"
    )
    parser.add_argument(
        "--claims", type=Path, default=CLAIMS, help="the claims and their bounds (default: %(default)s)"
    )
    parser.add_argument("--tables", type=Path, default=TABLES, help="the sections of the page")
    parser.add_argument(
        "--out", type=Path, help="folder of the report; with --from-mlflow and without it, tables are printed"
    )
    args = parser.parse_args()
    if (args.params is None) == (args.from_mlflow is None):
        parser.error("give either params/report.yaml or --from-mlflow SWEEP")
    if args.params and not args.out:
        raise PreflabError("--out: missing; the report of params/report.yaml goes to `--out reports`")
    from preflab.records import tracking
    from preflab.report import page
    from preflab.report.cells import load as load_cells
    from preflab.report.cells.load import from_files, read_params
    from preflab.report.claims import page as page_claims

    root = Path.cwd()
    if args.from_mlflow:
        grid = load_cells.from_mlflow(args.from_mlflow, root)
    else:
        tracking.replay(root)  # adds run ids that MLflow could not give when a stage ended
        about = read_params(args.params)
        grid = from_files(about, root)
    report = page.build(grid, args.claims, args.tables)
    if not args.out:
        print("\n".join(table.markdown() for table in report.tables))
        return
    files = page.write(report, args.out)
    if args.params:
        texts = {path.relative_to(args.out).as_posix(): path.read_text() for path in files if path.suffix != ".png"}
        tracking.log_grid(about["grid"], about, root, {}, texts)
    verdicts = page_claims.counts(report.claims)
    counts = f"{len(report.tables)} tables, {len(report.figures)} figures; {verdicts}"
    print(f"{args.out / 'index.html'}: {counts}")


if __name__ == "__main__":
    cli.main(main)
