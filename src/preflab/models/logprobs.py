"""Log-probabilities of given tokens, without an autograd graph over batch × length × vocabulary.

The vocabulary is walked in blocks that fit the processor's cache.  Going forward, a block of logits becomes
exp(logits − maximum) in place, is summed up and kept; going backward it is scaled, in place, into its own gradient,
softmax minus the chosen token, and used up by two products.
"""

from typing import Any

import torch
from torch import Tensor

BLOCK = 4096  # tokens (ours): with the rows of one PPO step a block of logits is a few MB


def logprobs(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """log softmax(hidden · weightᵀ)[target], `[rows]`, in the type of `hidden`.

    `hidden` `[rows, width]`, `weight` `[vocabulary, width]`, `targets` `[rows]` ids below the vocabulary.  Gradients go
    to `hidden` and `weight`, once: backward uses up what forward kept.
    """
    return _LogProbs.apply(hidden, weight, targets)


class _LogProbs(torch.autograd.Function):
    """The two passes of `logprobs`, with K = ⌈vocabulary / BLOCK⌉ blocks."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        """Log-probabilities `[rows]`.

        Each block of logits `[rows, BLOCK]` becomes exp(logits − maximum) in place, and is kept where a gradient will
        be asked for.  `chosen` `[rows]` is the target's logit, `offsets` `[K, rows]` the maximum of each block.
        """
        keep = any(ctx.needs_input_grad)
        blocks, maxima, sums = [], [], []
        chosen = torch.zeros_like(targets, dtype=hidden.dtype)
        for start in range(0, len(weight), BLOCK):
            block = hidden @ weight[start : start + BLOCK].T
            inside, column = _inside(targets, start, block)
            chosen = torch.where(inside, block.gather(1, column[:, None])[:, 0], chosen)
            maximum = block.amax(1)
            block.sub_(maximum[:, None]).exp_()  # log_softmax and logsumexp take five times as long on a CPU
            maxima.append(maximum)
            sums.append(block.sum(1))
            if keep:
                blocks.append(block)
        offsets = torch.stack(maxima)
        total = (offsets + torch.stack(sums).log()).logsumexp(0)
        ctx.save_for_backward(hidden, weight, targets, offsets - total)
        ctx.blocks = blocks
        return chosen - total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        """Gradients of hidden `[rows, width]` and weight `[vocabulary, width]`; `gradients`: one, `[rows]`.

        Of a logit it is gradient · (1[target] − softmax).  softmax is the kept block times exp(maximum − log Σ exp),
        so a block is scaled in place, the target's column is corrected, and two products use it up.
        """
        hidden, weight, targets, offsets = ctx.saved_tensors
        (gradient,) = gradients
        blocks, ctx.blocks = ctx.blocks, []  # each is freed as soon as it is used up
        to_hidden, to_weight = torch.zeros_like(hidden), torch.empty_like(weight)
        rows = torch.arange(len(targets), device=targets.device)
        for number in reversed(range(len(offsets))):
            start, block = number * BLOCK, blocks.pop()
            block.mul_((-gradient * offsets[number].exp())[:, None])
            inside, column = _inside(targets, start, block)
            block[rows, column] += torch.where(inside, gradient, 0.0)
            to_hidden.addmm_(block, weight[start : start + BLOCK])
            torch.mm(block.T, hidden, out=to_weight[start : start + BLOCK])
        return to_hidden, to_weight, None


def _inside(targets: Tensor, start: int, block: Tensor) -> tuple[Tensor, Tensor]:
    """Which targets `[rows]` are in the block that begins at id `start`, and the column of each (if not, any)."""
    width = block.shape[1]
    return (targets >= start) & (targets < start + width), (targets - start).clamp(0, width - 1)
