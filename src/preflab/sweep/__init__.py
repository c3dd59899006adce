"""Hydra sweeps as builds."""
