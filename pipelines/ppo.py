"""Stage `ppo`: train a policy against a reward, offline, online or on the true score."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from preflab import cli
from preflab.errors import PreflabError

if TYPE_CHECKING:
    from preflab.records.tracking import Record, Silent
    from preflab.settings.stages import PpoStage

COLUMNS = [
    "update",
    "episode",
    "score",
    "true_score",
    "kl",
    "kl_coef",
    "entropy",
    "policy_loss",
    "value_loss",
    "approxkl",
    "clipfrac",
    "ended",
    "lr",
    "labels",
]


def main() -> None:
    """`python -m pipelines.ppo params/ppo/ID.yaml --queries … --model … --reward … --out …`, see `--help`."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.ppo", description=__doc__)
    parser.add_argument("params", type=Path, help="settings of this instance")
    parser.add_argument("--queries", type=Path, required=True, help="folder of the stage prepare")
    parser.add_argument("--model", type=Path, required=True, help="folder of the base model, the reference")
    parser.add_argument("--comparisons", type=Path, required=True, help="folder of the stage comparisons")
    parser.add_argument("--reward", type=Path, required=True, help="folder of the stage reward")
    parser.add_argument("--out", type=Path, required=True, help="folder for the policy")
    parser.add_argument("--metrics", type=Path, required=True, help="JSON file for the metrics")
    parser.add_argument("--curve", type=Path, required=True, help="CSV file, a row per update")
    parser.add_argument("--run", type=Path, help="JSON file for the run record")
    args = parser.parse_args()
    from preflab import files
    from preflab.machine import checkpoint, parallel
    from preflab.records import tracking
    from preflab.settings.load import load

    cfg = load("ppo", args.params)
    parallel.launch("pipelines.ppo")
    inputs = {
        "queries": args.queries,
        "model": args.model,
        "comparisons": args.comparisons,
        "reward": args.reward,
    }
    with parallel.joined(), tracking.stage("ppo", args.run, args.params, inputs) as record:
        folder = checkpoint.folder_for(f"ppo-{args.params.stem}", args.params, *inputs.values())
        curve = run(cfg, args, folder, record)
        if parallel.rank():
            return
        metrics = {
            key: curve[-1][key] for key in ("score", "true_score", "kl", "kl_coef", "entropy", "ended", "labels")
        }
        files.write_json(args.metrics, metrics)
        files.write_csv(args.curve, curve, COLUMNS)
        record.summary(metrics)
        checkpoint.remove(folder)


def run(cfg: "PpoStage", args: argparse.Namespace, folder: Path, record: "Record | Silent") -> list[dict[str, float]]:
    """Train, write the policy to `--out`, and the reward model where it is not what it was; returns the curve."""
    from preflab import comparisons
    from preflab.comparisons import synthetic
    from preflab.machine import parallel
    from preflab.models import causal_lm, reward_model
    from preflab.sampling import reference
    from preflab.training import online, ppo, scoring, shared_network

    ref = reference.load(cfg.runtime, cfg.task, args.queries, args.model)
    calibration = synthetic.load_calibration(args.comparisons)
    pad_id = ref.layout.pad_id
    true = scoring.true_score(args.queries, ref.tokenizer, calibration, pad_id)
    given = scoring.load(args.reward, args.model, ref.lm, args.queries, ref.tokenizer, pad_id)
    lm = causal_lm.load_causal_lm(args.model, ref.queries.device)
    policy, collector, label_loss = None, None, None
    if cfg.online is None:
        causal_lm.freeze(ref.lm)  # with online labels reward models start from it
        if cfg.shared and isinstance(given, scoring.NetworkScore):
            policy = shared_network.Policy(lm, given.model)
            labels = comparisons.read(args.comparisons / "train.parquet")
            label_loss = shared_network.label_loss(policy, labels, cfg.shared, cfg.seed, ref.layout.pad_id)
        elif isinstance(given, scoring.NetworkScore):
            causal_lm.freeze(given.model.trunk)
    else:
        if not isinstance(given, scoring.NetworkScore):
            raise PreflabError(f"{args.reward}: a true score cannot be collected online; take collection=offline")
        labels = comparisons.read(args.comparisons / "train.parquet")[: cfg.online.num_initial]
        collector = online.Collector(
            cfg, cfg.online, ref.lm, ref.queries, labels, given.model,
            scoring.Panel(calibration, args.queries, ref.tokenizer, pad_id), calibration, ref.layout,
        )  # fmt: skip
    hooks = ppo.Hooks(
        reward=collector.score if collector else lambda: given,
        true_score=true,
        before_update=collector.before_update if collector else lambda _update, _policy: {},
        log=lambda row, update: record.metrics({k: v for k, v in row.items() if k != "update"}, step=update),
        save_state=collector.save_state if collector else lambda: ({}, {}),
        load_state=collector.load_state if collector else lambda _tensors, _state: None,
        added_loss=label_loss,
    )
    result = ppo.train(cfg, ref.lm, policy or causal_lm.Policy(lm), ref.queries, ref.layout, hooks, folder)
    if parallel.rank() == 0:
        causal_lm.save_policy(result.policy, args.out, args.model)
        if policy:
            reward_model.save(policy.rewarder, args.out / "reward", args.model)
        if collector:
            reward_model.save(collector.model, args.out / "reward", args.model)
            comparisons.write(collector.labels, args.out / "labels.parquet")
    return result.curve


if __name__ == "__main__":
    cli.main(main)
