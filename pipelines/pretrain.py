"""Stage `pretrain`: train the small base model `tiny` and its tokenizer from scratch."""

import argparse
from pathlib import Path

from preflab import cli


def main() -> None:
    """`python -m pipelines.pretrain params/pretrain/ID.yaml --corpus … --out … --metrics … --run …`."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.pretrain", description=__doc__)
    parser.add_argument("params", type=Path, help="settings of this instance")
    parser.add_argument("--corpus", type=Path, required=True, help="folder of the fetched corpus")
    parser.add_argument("--out", type=Path, required=True, help="folder for the model")
    parser.add_argument("--metrics", type=Path, required=True, help="JSON file for the metrics")
    parser.add_argument("--run", type=Path, help="JSON file for the run record")
    args = parser.parse_args()
    from preflab import corpora, files
    from preflab.machine import checkpoint
    from preflab.records import tracking
    from preflab.settings.load import load
    from preflab.training import pretrain

    cfg = load("pretrain", args.params)
    with tracking.stage("pretrain", args.run, args.params, {"corpus": args.corpus}) as record:
        folder = checkpoint.folder_for(f"pretrain-{args.params.stem}", args.params, args.corpus)
        documents = corpora.load(cfg.corpus, args.corpus).documents
        chosen = [d for d in documents if d.source == cfg.pretrain.source]
        result = pretrain.train(cfg.pretrain, chosen, folder)
        pretrain.write(result, args.out)
        files.write_json(args.metrics, result.metrics)
        record.summary(result.metrics)
        checkpoint.remove(folder)


if __name__ == "__main__":
    cli.main(main)
