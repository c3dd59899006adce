"""What a user would pick instead, on the same work: TRL's PPO and reward trainers, and `generate` of transformers.

TRL 1.12.0 is the last release with a PPO trainer.  fp32 on a CPU, on a GPU bf16, TRL's default.
Without gradient checkpointing, TRL's other default, which only costs time at these sizes.  Everything is made in
memory: random weights, random tokens, a tokenizer whose words are the numbers of its tokens.
"""

import os
import tempfile
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from benchmarks.workloads import PPO_EPOCHS, SAMPLES, TEMPERATURE, Size, Stopwatch, gpt2_config, tokens

if TYPE_CHECKING:
    import torch

Run = Callable[[], dict[str, float]]

MICRO_BATCH = 128  # episodes at once on a GPU; the logits of 512 episodes on all 88 positions do not fit 80 GB


def ppo_iteration(size: Size, device: "torch.device") -> Run:
    """One update of TRL's PPOTrainer: rollout, scoring, `PPO_EPOCHS` epochs of one minibatch; separate value model."""
    import torch
    from datasets import Dataset
    from transformers import GPT2ForSequenceClassification, GPT2LMHeadModel
    from trl.experimental.ppo import PPOConfig, PPOTrainer, ppo_trainer

    gpu = device.type == "cuda"
    # The trainer does not hand these two of its settings to accelerate; without the first, bf16=True is fp32.
    os.environ |= {"ACCELERATE_MIXED_PRECISION": "bf16" if gpu else "no", "ACCELERATE_USE_CPU": str(not gpu).lower()}
    micro_batch = min(size.batch, MICRO_BATCH) if gpu else size.batch
    frozen = {"dtype": torch.bfloat16 if gpu else torch.float32}
    config, scalar = gpt2_config(size), gpt2_config(size)
    scalar.num_labels = 1
    torch.manual_seed(0)
    trainer = PPOTrainer(
        args=PPOConfig(
            **_common(gpu), per_device_train_batch_size=micro_batch,
            gradient_accumulation_steps=size.batch // micro_batch, total_episodes=size.batch,
            num_ppo_epochs=PPO_EPOCHS, num_mini_batches=1, local_rollout_forward_batch_size=micro_batch,
            response_length=size.response, temperature=TEMPERATURE, num_sample_generations=0, whiten_rewards=True,
        ),
        processing_class=_tokenizer(size),
        model=GPT2LMHeadModel(config),
        ref_model=GPT2LMHeadModel(config).to(**frozen),
        reward_model=GPT2ForSequenceClassification(scalar).to(**frozen),
        value_model=GPT2ForSequenceClassification(scalar),
        train_dataset=Dataset.from_dict({"input_ids": tokens(size, size.batch, size.query).tolist()}),
    )  # fmt: skip
    watch = Stopwatch(device)
    # `train` is one long function; these are the last calls of its first two phases.  Rewards and advantages are both
    # whitened, which books what is between them to scoring as well.
    ppo_trainer.batch_generation = _lap_after(ppo_trainer.batch_generation, lambda: watch.lap("rollout"))
    ppo_trainer.masked_whiten = _lap_after(ppo_trainer.masked_whiten, lambda: watch.lap("scoring"))

    def run() -> dict[str, float]:
        watch.restart()
        trainer.train()  # total_episodes is one batch: one update
        watch.lap("optimisation")
        return watch.seconds

    return run


def reward_step(size: Size, device: "torch.device") -> Run:
    """One step of TRL's RewardTrainer on the pairs of `size.batch` four-way comparisons: the best against each other.

    The trainer knows pairs only, and reads the best once for each: 6 sequences a comparison instead of 4.  Timed from
    the trainer's `on_step_begin` to its `on_step_end`; the rest of its `train` is set-up.
    """
    import torch
    from datasets import Dataset
    from transformers import GPT2ForSequenceClassification, TrainerCallback
    from trl import RewardConfig, RewardTrainer

    config = gpt2_config(size)
    config.num_labels = 1
    pairs = size.batch * (SAMPLES - 1)
    texts = tokens(size, 2 * pairs, size.query + size.response).tolist()
    watch = Stopwatch(device)

    class Timed(TrainerCallback):
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            watch.restart()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            watch.lap("total")

    torch.manual_seed(0)
    trainer = RewardTrainer(
        args=RewardConfig(
            **_common(device.type == "cuda"), per_device_train_batch_size=pairs, max_steps=1, max_length=None,
            logging_strategy="no",
        ),
        processing_class=_tokenizer(size),
        model=GPT2ForSequenceClassification(config),
        train_dataset=Dataset.from_dict({"chosen_ids": texts[:pairs], "rejected_ids": texts[pairs:]}),
        callbacks=[Timed()],
    )  # fmt: skip

    def run() -> dict[str, float]:
        trainer.train()
        return watch.seconds

    return run


def sampling(size: Size, device: "torch.device") -> Run:
    """`generate` of transformers with its default, growing cache."""
    import torch
    from transformers import GPT2LMHeadModel

    torch.manual_seed(0)
    lm = GPT2LMHeadModel(gpt2_config(size)).eval().to(device, torch.bfloat16 if device.type == "cuda" else None)
    lm.generation_config.eos_token_id = None  # never ends early
    queries = tokens(size, size.batch, size.query).to(device)
    mask = torch.ones_like(queries)

    def run() -> dict[str, float]:
        watch = Stopwatch(device)
        sampled = lm.generate(
            input_ids=queries, attention_mask=mask, max_new_tokens=size.response, do_sample=True,
            temperature=TEMPERATURE, top_k=0, top_p=1.0,
        )  # fmt: skip
        watch.lap("total")
        assert sampled.shape == (size.batch, size.query + size.response)
        return watch.seconds

    return run


def _common(gpu: bool) -> dict[str, Any]:
    """Settings of both trainers: nothing is saved or reported, and the learning rate stays."""
    return {
        "output_dir": tempfile.mkdtemp(prefix="preflab-benchmark-"), "save_strategy": "no", "report_to": "none",
        "disable_tqdm": True, "lr_scheduler_type": "constant", "bf16": gpu, "gradient_checkpointing": False,
        "use_cpu": not gpu,
    }  # fmt: skip


def _tokenizer(size: Size) -> Any:
    """Words are token numbers; the pad is the first number outside the vocabulary."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({str(i): i for i in range(size.vocab + 1)}, unk_token="0"))
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token=str(size.vocab), eos_token=str(size.vocab - 1))


def _lap_after(function: Callable[..., Any], lap: Callable[[], None]) -> Callable[..., Any]:
    """`function`, with `lap` called at its end."""

    def timed(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        lap()
        return result

    return timed
