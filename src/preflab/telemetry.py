"""Nothing that our commands start calls home: DVC analytics, MLflow, Hugging Face."""

import os

OFF = {
    "DVC_NO_ANALYTICS": "1",
    "DO_NOT_TRACK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",  # ours say more
}


def off() -> None:
    """Set before the first import of mlflow or transformers; what the user set himself stays."""
    for name, value in OFF.items():
        os.environ.setdefault(name, value)
