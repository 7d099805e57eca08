"""Releases: made, signed, stored, pulled and verified."""
