"""How things are run: the command line, the stages in order, and the Prefect flow. Thin by intent.

Threads that wait for each other at the end of every matrix product spin for 300,000 rounds by default (libgomp). Where
other processes want the cores they spin while the one they wait for has none: a training step with two threads beside
two other processes took ten to thirty times as long. So where a machine is busy when a run starts they sleep after a
thousand rounds; on a free one that would cost convolutions up to a fifth. It is read when torch is loaded, after this.
"""

import os

BUSY = 0.25  # processes a core that were running in the last minute

_busy = hasattr(os, "getloadavg") and os.getloadavg()[0] > BUSY * (os.cpu_count() or 1)
if _busy and "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
