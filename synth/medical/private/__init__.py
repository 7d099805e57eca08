"""Images under a privacy budget: what is measured of them once, and how a generator learns from that."""
