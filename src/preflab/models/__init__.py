"""Causal language models, their scalar heads and where they come from."""
