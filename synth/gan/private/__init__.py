"""Differential privacy, free of domains: what a mechanism costs, and noise that no seed can repeat."""
