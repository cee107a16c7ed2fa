"""Numbers of random examples: some in each run, and `EXAMPLES=10` times as many in a search for faults."""

import os

FACTOR = int(os.environ.get("EXAMPLES", "1"))


def examples(number: int) -> int:
    """Return the number of examples of a test that draws `number` by default."""
    return number * FACTOR
