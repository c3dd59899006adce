"""Stages zero_shot, evaluate, supervised, best_of_n, text: responses to held-out queries, scored and judged."""

from pipelines import _stage

if __name__ == "__main__":
    _stage.main("evaluate", __doc__)
