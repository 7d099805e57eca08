"""What every test process needs before anything else."""

import os
import signal

# One thread a test process, set before any library reads it: two workers with two threads each wait for each other.
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")

# What a shell puts in the background ignores Ctrl-C, and so do its children: those that tests interrupt would run on.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
