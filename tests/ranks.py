"""For test_engine.py, with and without torchrun: three PPO updates and a reward model; the first rank writes JSON."""

import json
import sys
import tempfile
from pathlib import Path

import torch
from test_learning import train
from test_reward import comparisons
from tiny_model import PAD, gpt2, reward_settings, task

from preflab import parallel, reward
from preflab.errors import PreflabError

torch.set_num_threads(1)
with parallel.joined():
    folder = Path(tempfile.mkdtemp())
    result = train(1.0, folder, updates=3)
    queries = torch.tensor([c.query for c in comparisons(32)])
    training = reward.train(gpt2(), comparisons(22), queries, task(), reward_settings(), PAD, 1)
    error = ""
    try:
        train(1.0, folder / "odd", episodes=5, batch_size=5)
    except PreflabError as found:
        error = str(found)
    if parallel.rank() == 0:
        norms = [float(p.norm()) for m in (result.policy, training.model) for p in m.parameters()]
        about = {"ppo": result.curve, "reward": training.curve, "parameters": norms, "error": error}
        Path(sys.argv[1]).write_text(json.dumps(about))
