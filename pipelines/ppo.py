"""Stage `ppo`: train a policy against a reward model, offline or online, or directly on the true score."""

from pipelines import _stage

if __name__ == "__main__":
    _stage.main("ppo", __doc__)
