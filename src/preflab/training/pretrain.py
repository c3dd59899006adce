"""Pretrain the small base model `tiny`, which stands in for the paper's GPT-2, and its byte-level BPE (ours).

The paper starts from OpenAI's 774M GPT-2, whose weights no package registry offers and which is too large for a laptop.
The recipe: GPT-2's architecture without dropout, packed reviews, Muon (Jordan et al. 2024) for the
matrices of the blocks and AdamW for the rest, learning rates linear to 0, products in bf16.
"""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from preflab import corpora
from preflab.errors import PreflabError
from preflab.machine import checkpoint, runtime
from preflab.settings.method import PretrainSettings

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer
    from transformers import GPT2LMHeadModel

END_OF_TEXT = "<|endoftext|>"


class PretrainResult(NamedTuple):
    """`perplexity` per token and `bits_per_byte` on documents of the validation split."""

    model: "GPT2LMHeadModel"
    tokenizer: "Tokenizer"
    metrics: dict[str, float | int]


def train_tokenizer(texts: list[str], vocab_size: int) -> "Tokenizer":
    """A byte-level BPE like GPT-2's, of `vocab_size` tokens; id 0 is the end-of-text token."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=vocab_size,
            special_tokens=[END_OF_TEXT],
            initial_alphabet=alphabet,
            show_progress=False,
        ),
    )
    return tokenizer


def stream(tokenizer: "Tokenizer", texts: list[str]) -> "torch.Tensor":
    """All texts as one row of token ids `[tokens]`, with an end-of-text token before each."""
    import torch

    ids = [i for encoding in tokenizer.encode_batch(texts) for i in (0, *encoding.ids)]
    return torch.tensor(ids)


def train(cfg: PretrainSettings, documents: list[corpora.Document], folder: Path) -> PretrainResult:
    """Train tokenizer and model on the train split of `cfg.source`; resumes from checkpoints in `folder`.

    Raises PreflabError if a split is shorter than a window, or the loss is not finite.
    """
    import torch
    from torch.nn.functional import cross_entropy

    device = runtime.start(cfg.threads)
    texts = {split: [d.text for d in members] for split, members in corpora.splits(documents).items()}
    tokenizer = train_tokenizer(texts["train"], cfg.vocab_size)
    streams = {s: stream(tokenizer, texts[s]) for s in ("train", "validation")}
    for split, ids in streams.items():
        if len(ids) <= cfg.length:
            raise PreflabError(f"pretrain.length={cfg.length}: {split} has {len(ids)} tokens; take a shorter length")
    tokens = streams["train"].to(device)
    model = _initial(cfg).to(device)
    optimizers = _optimizers(cfg, model)
    steps = math.ceil(cfg.tokens / (cfg.batch_size * cfg.length))
    step = 0
    saved = checkpoint.load(folder)
    if saved is not None:
        step = saved.step
        checkpoint.restore_module("model", model, saved.tensors)
        for i, optimizer in enumerate(optimizers):
            checkpoint.unpack(f"optimizer{i}", optimizer, saved.tensors)

    def save() -> None:
        parts = checkpoint.tensors_of("model", model)
        for i, optimizer in enumerate(optimizers):
            parts |= checkpoint.pack(f"optimizer{i}", optimizer)
        checkpoint.save(folder, step, parts, {})

    with runtime.progress(steps, "pretrain", done=step) as bar:
        while step < steps:
            scale = learning_rate_scale(step, steps, cfg)
            for optimizer in optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = group["peak_lr"] * scale
            offsets = torch.randint(
                len(tokens) - cfg.length,
                (cfg.batch_size,),
                generator=runtime.generator("cpu", cfg.seed, "pretrain", step),
            )
            window = tokens[(offsets[:, None] + torch.arange(cfg.length + 1)).to(device)]
            with torch.autocast(device.type, dtype=torch.bfloat16):
                logits = model(window[:, :-1]).logits
            loss = cross_entropy(logits.flatten(0, 1).float(), window[:, 1:].flatten())
            if not math.isfinite(loss.item()):
                raise PreflabError(
                    f"pretrain: the loss is {loss.item()} at step {step}; the last good checkpoint is in {folder}"
                )
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad()
            step += 1
            bar.update()
            if step % cfg.checkpoint_steps == 0:
                save()
    validation_loss = evaluate(model, streams["validation"], cfg.length)
    text_tokens = len(streams["validation"]) - len(texts["validation"])  # each text has one end-of-text token
    bytes_per_token = sum(len(t.encode()) for t in texts["validation"]) / text_tokens
    metrics: dict[str, float | int] = {
        "perplexity": round(math.exp(validation_loss), 3),
        "loss": round(validation_loss, 4),
        "bits_per_byte": round(validation_loss / math.log(2) / bytes_per_token, 4),
        "steps": steps,
        "tokens": steps * cfg.batch_size * cfg.length,
    }
    return PretrainResult(model, tokenizer, metrics)


def learning_rate_scale(step: int, steps: int, cfg: PretrainSettings) -> float:
    """Share of the peak rates: linear warm-up times a linear fall to 0."""
    return min(1.0, (step + 1) / cfg.warmup_steps) * (1 - step / steps)


def evaluate(model: "GPT2LMHeadModel", ids: "torch.Tensor", length: int) -> float:
    """Mean loss in nats on consecutive windows of `ids`, without overlap (early tokens have little context)."""
    import torch
    from torch.nn.functional import cross_entropy

    ids = ids[: len(ids) // (length + 1) * (length + 1)].view(-1, length + 1)
    total = 0.0
    windows = ids.to(model.device).split(64)
    with torch.no_grad(), runtime.progress(len(windows), "perplexity", unit="batch") as bar:
        for window in windows:
            logits = model(window[:, :-1]).logits
            total += cross_entropy(logits.flatten(0, 1), window[:, 1:].flatten(), reduction="sum").item()
            bar.update()
    return total / ids[:, 1:].numel()


def write(result: PretrainResult, out: Path) -> None:
    """The model in fp32 as `transformers` reads it, with `tokenizer.json`."""
    result.model.cpu().save_pretrained(out)
    result.tokenizer.save(str(out / "tokenizer.json"))
    wrapper = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": END_OF_TEXT,
        "bos_token": END_OF_TEXT,
    }
    (out / "tokenizer_config.json").write_text(json.dumps(wrapper, indent=2, sort_keys=True) + "\n")


def _initial(cfg: PretrainSettings) -> "GPT2LMHeadModel":
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(runtime.seed_for(cfg.seed, "pretrain"))
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=cfg.vocab_size,
            n_positions=cfg.context,
            n_embd=cfg.width,
            n_layer=cfg.layers,
            n_head=cfg.heads,
            activation_function="gelu_pytorch_tanh",  # GPT-2's tanh GELU, as one fused kernel
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=0,
            eos_token_id=0,
        )
    )


def _optimizers(cfg: PretrainSettings, model: "GPT2LMHeadModel") -> list["torch.optim.Optimizer"]:
    import torch

    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and ".h." in name]
    rest = [p for name, p in model.named_parameters() if not (p.ndim == 2 and ".h." in name)]
    muon = torch.optim.Muon(matrices, lr=cfg.muon_lr, momentum=0.95, weight_decay=0.05, adjust_lr_fn="match_rms_adamw")
    adam = torch.optim.AdamW(rest, lr=cfg.adam_lr, betas=(0.9, 0.95), weight_decay=0.0)
    for optimizer in (muon, adam):
        for group in optimizer.param_groups:
            group["peak_lr"] = group["lr"]
    return [muon, adam]
