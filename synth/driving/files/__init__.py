"""Released scenes in the formats of simulators and test teams, one small module a format."""
