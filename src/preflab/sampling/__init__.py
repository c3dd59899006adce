"""Prompts, rollouts and the reference that writes them."""
