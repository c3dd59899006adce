"""Training: reward models, PPO, supervised fine-tuning."""
