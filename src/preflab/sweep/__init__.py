"""Hydra sweeps as DVC builds."""
