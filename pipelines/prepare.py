"""Stage `prepare`: cut queries from disjoint documents; where there are labels, train the two classifiers."""

import argparse
from pathlib import Path

from preflab import cli


def main() -> None:
    """`python -m pipelines.prepare params/prepare/ID.yaml --corpus … --model … --out … --metrics … --run …`."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.prepare", description=__doc__)
    parser.add_argument("params", type=Path, help="settings of this instance")
    parser.add_argument("--corpus", type=Path, required=True, help="folder of the fetched corpus")
    parser.add_argument("--classifier-corpus", type=Path, help="folder of the corpus that trains the classifiers")
    parser.add_argument("--model", type=Path, required=True, help="folder of the base model (its tokenizer is used)")
    parser.add_argument("--out", type=Path, required=True, help="folder for queries and classifiers")
    parser.add_argument("--metrics", type=Path, required=True, help="JSON file for the metrics")
    parser.add_argument("--run", type=Path, help="JSON file for the run record")
    args = parser.parse_args()
    from preflab import files
    from preflab.grid import kinds
    from preflab.records import tracking
    from preflab.settings.load import load
    from preflab.stages import prepare as prepare_stages

    kind = kinds.kind_of(args.params, "prepare")
    cfg = load(kind, args.params)
    inputs = {"corpus": args.corpus, "model": args.model}
    if args.classifier_corpus:
        inputs["classifier_corpus"] = args.classifier_corpus
    with tracking.stage(kind, args.run, args.params, inputs) as record:
        metrics = prepare_stages.run(cfg, args.corpus, args.model, args.out, args.classifier_corpus)
        files.write_json(args.metrics, metrics)
        record.summary(metrics)


if __name__ == "__main__":
    cli.main(main)
