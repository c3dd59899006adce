"""For test_engine.py, with and without torchrun: PPO updates, a reward model, online labels; rank 0 writes JSON."""

import json
import sys
import tempfile
from pathlib import Path

import torch

from helpers.tiny_model import PROMPT, gpt2, policy_stage, reward_settings, task
from helpers.tiny_training import collector, online_settings, random_comparisons, train_ppo
from preflab.errors import PreflabError
from preflab.machine import parallel
from preflab.models import causal_lm
from preflab.training import reward as reward_training

torch.set_num_threads(1)
with parallel.joined():
    folder = Path(tempfile.mkdtemp())
    result = train_ppo(1.0, folder, updates=3)
    queries = torch.tensor([c.query for c in random_comparisons(32)])
    training = reward_training.train(gpt2(), random_comparisons(17), queries, task(), reward_settings(), PROMPT, 1)
    collected = collector(policy_stage(episodes=160, batch_size=16), online_settings(num_train=40, retrainings=3))
    labelled = [collected.before_update(update, causal_lm.Policy(gpt2(seed=1))) for update in range(10)]
    error = ""
    try:
        train_ppo(1.0, folder / "odd", episodes=5, batch_size=5)
    except PreflabError as found:
        error = str(found)
    if parallel.rank() == 0:
        norms = [float(p.norm()) for m in (result.policy, training.model, collected.model) for p in m.parameters()]
        about = {"ppo": result.curve, "reward": training.curve, "online": labelled, "parameters": norms, "error": error}
        Path(sys.argv[1]).write_text(json.dumps(about))
