"""How things are run: the command line, the stages in order, and the Prefect flow. Thin by intent.

Threads that wait for each other at the end of every matrix product spin for 300,000 rounds by default (libgomp). On a
machine that does anything else they spin while the one they wait for has no core: a training step with two threads
beside two other processes took ten to thirty times as long. A thousand rounds cost nothing on a free machine. It is
read when torch is loaded, which is after this.
"""

import os

if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
