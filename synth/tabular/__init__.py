"""The tabular domain: the rooms of the road for tables."""
