"""How all peers here are timed."""

import time


def fastest_ms(work, samples):
    """The fastest of some runs, after one that warms up."""
    work()
    best = float("inf")
    for _ in range(samples):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best * 1e3
