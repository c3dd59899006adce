"""Switches off the telemetry of DVC, MLflow and Hugging Face, for our commands and the processes that they start."""

import os

OFF = {
    "DVC_NO_ANALYTICS": "1",
    "DO_NOT_TRACK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",  # our own message says more
}


def off() -> None:
    """Set the variables, before the first import of mlflow or transformers; values that the user has set are kept."""
    for name, value in OFF.items():
        os.environ.setdefault(name, value)
