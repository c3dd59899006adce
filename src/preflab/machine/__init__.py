"""The machine: threads, precision, seeds, processes, checkpoints."""
