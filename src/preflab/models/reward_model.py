"""Reward models: a copy of the reference's trunk with a scalar head (paper §2.1; released rewards.py)."""

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from preflab.errors import PreflabError
from preflab.machine import runtime
from preflab.models import architectures, causal_lm


class RewardModel(nn.Module):
    """Trunk, scalar head, gain and bias. Gain and bias train with the rest; normalisation resets them (released)."""

    def __init__(self, trunk: nn.Module, width: int, generator: torch.Generator) -> None:
        super().__init__()
        self.trunk = trunk
        self.head = nn.Linear(width, 1)
        with torch.no_grad():
            self.head.weight.normal_(0.0, 1 / math.sqrt(width + 1), generator=generator)
            self.head.bias.zero_()
        self.gain = nn.Parameter(torch.ones(()))
        self.bias = nn.Parameter(torch.zeros(()))

    def forward(self, tokens: Tensor, pad_id: int) -> Tensor:
        """Scores `[batch]` of query + response `[batch, length]`, read at the last token that is not a pad."""
        hidden = causal_lm.hidden_states(self.trunk, tokens, pad_id)
        positions = torch.arange(tokens.shape[1], device=tokens.device)
        last = ((tokens != pad_id) * positions).argmax(1)
        return self.score(hidden[torch.arange(len(tokens), device=tokens.device), last])

    def compare(self, queries: Tensor, samples: Tensor, pad_id: int) -> Tensor:
        """Scores `[batch, n]` of left-padded queries `[batch, query]` with n responses each `[batch, n, response]`.

        The n responses share one copy of their query: each sees the query and itself, at the positions it would have
        alone, so the trunk runs over query + n · response tokens instead of n · (query + response).  Where the model
        makes its own masks, each response is read with its own copy of the query.
        """
        if not architectures.is_plain(self.trunk.config):
            rows = torch.cat([queries.repeat_interleave(samples.shape[1], 0), samples.flatten(0, 1)], 1)
            return self(rows, pad_id).view(samples.shape[:2])
        _, n, response = samples.shape
        tokens = torch.cat([queries, samples.flatten(1)], 1)
        real = tokens != pad_id
        length = real[:, : queries.shape[1]].sum(1)
        positions = torch.cat(
            [
                (real[:, : queries.shape[1]].long().cumsum(1) - 1).clamp(min=0),
                (length[:, None] + torch.arange(response, device=tokens.device)).repeat(1, n),
            ],
            1,
        )
        block = torch.cat([torch.zeros(queries.shape[1]), torch.arange(1, n + 1).repeat_interleave(response)]).to(
            tokens.device
        )
        order = torch.arange(tokens.shape[1], device=tokens.device)
        causal = order[:, None] >= order[None, :]
        visible = causal & ((block[:, None] == block[None, :]) | (block[None, :] == 0))
        mask = visible[None] & real[:, None, :]
        mask = mask | torch.eye(tokens.shape[1], dtype=torch.bool, device=tokens.device)  # no empty rows at pads
        hidden = self.trunk(
            input_ids=tokens.masked_fill(~real, 0),
            attention_mask=causal_lm.additive_mask(mask, self.head.weight.dtype),
            position_ids=positions,
            use_cache=False,
        ).last_hidden_state
        answers = hidden[:, queries.shape[1] :].unflatten(1, (n, response))
        last = ((samples != pad_id) * torch.arange(response, device=tokens.device)).argmax(2)
        picked = answers.gather(2, last[:, :, None, None].expand(-1, -1, 1, hidden.shape[-1])).squeeze(2)
        return self.score(picked)

    def score(self, hidden: Tensor) -> Tensor:
        """`gain · head(hidden) + bias`, without the last dimension."""
        return self.gain * self.head(hidden).squeeze(-1) + self.bias


def initial(reference: Any, seed: int) -> RewardModel:
    """A reward model on a copy of the reference's trunk, with the random head of the cells of this seed."""
    import copy

    device = reference.device
    trunk = copy.deepcopy(reference.base_model)
    model = RewardModel(trunk, causal_lm.width(reference), runtime.generator("cpu", seed, "reward", "head"))
    return model.to(device).eval().requires_grad_(True)  # the reference it is a copy of is frozen


def save(model: RewardModel, folder: Path, base: Path) -> None:
    """Trunk, head, gain and bias as safetensors, and the sha256 of the reference it was trained against."""
    import json

    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    save_file(
        {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()},
        folder / "reward.safetensors",
    )
    (folder / "reward.json").write_text(
        json.dumps({"kind": "network", "reference": digest(base)}, sort_keys=True) + "\n"
    )


def load(folder: Path, reference: Any, base: Path) -> RewardModel:
    """A saved reward model; an error if it was trained against another reference than the model in `base`."""
    from safetensors.torch import load_file

    check_reference(folder, base)
    model = initial(reference, 0)
    model.load_state_dict(load_file(folder / "reward.safetensors", device=str(reference.device)))
    return model


def check_reference(folder: Path, base: Path) -> dict[str, Any]:
    """The record `reward.json`; the reward model's reference must be the policy's."""
    import json

    path = folder / "reward.json"
    if not path.exists():
        raise PreflabError(f"{path}: not found; `dvc repro` (stage reward) writes it")
    record: dict[str, Any] = json.loads(path.read_text())
    if record["reference"] != digest(base):
        raise PreflabError(
            f"{path}: trained against the reference {record['reference'][:12]}…, but the policy starts from {base} "
            f"({digest(base)[:12]}…); build both from one model (`python -m pipelines.grid`, then `dvc repro`)"
        )
    return record


def digest(base: Path) -> str:
    """sha256 of the base model's weights."""
    import hashlib

    path = base / "model.safetensors"
    if not path.exists():
        raise PreflabError(f"{path}: not found; `dvc repro` (stage model) brings it")
    return hashlib.sha256(path.read_bytes()).hexdigest()
