"""Recorded traffic: recordings in, scenes of several vehicles out."""
