"""Floating-point operations that a work needs: multiply and add of matrix products and attention.

With L layers of width w, T = query + response tokens, R response tokens, V words:

    trunk, forward, one sequence     T · 2·12·L·w²  +  2·L·w·T²     (attention: scores and sums, causal half)
    head, forward, one sequence      R · 2·V·w                      (response positions only)
    forward and backward             3 × forward

* W1, an episode: rollout = trunk + head (log-probabilities and values are kept from it); scoring = trunk + head of the
  reference, trunk of the reward model; optimisation = 4 epochs × 3 × (trunk + head).  The value head is not counted.
* W2, a four-way comparison: 4 × 3 × trunk, each sample with its own copy of the query.  Reading the query
  once takes less, so that the rate can pass 100 % of the peak.
* W3, a sequence: trunk + head.
"""

from benchmarks.workloads import PPO_EPOCHS, SAMPLES, Size

BACKWARD = 3  # forward and backward, in forwards


def trunk(size: Size) -> float:
    """FLOPs of the trunk over query and response of one sequence."""
    length = size.query + size.response
    return 24.0 * size.layers * size.width**2 * length + 2.0 * size.layers * size.width * length**2


def head(size: Size) -> float:
    """FLOPs of the vocabulary matrix on the response of one sequence."""
    return 2.0 * size.vocab * size.width * size.response


def needed(work: str, size: Size) -> dict[str, float]:
    """FLOPs by phase for one episode (W1), comparison (W2) or sequence (W3)."""
    both = trunk(size) + head(size)
    if work == "W1":
        return {"rollout": both, "scoring": both + trunk(size), "optimisation": PPO_EPOCHS * BACKWARD * both}
    if work == "W2":
        return {"total": SAMPLES * BACKWARD * trunk(size)}
    return {"total": both}
