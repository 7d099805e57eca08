"""The gates: each asks one question of a synthetic set and answers with findings."""
