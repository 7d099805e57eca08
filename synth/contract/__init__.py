"""The contract: the only file a user writes."""

from synth.contract.model import (
    Budget,
    Column,
    Constraint,
    Contract,
    FixedCombinations,
    IdentifierPolicy,
    Inequality,
    Limit,
    Privacy,
    Role,
    Split,
    Sum,
    Task,
    Training,
    Unit,
)

__all__ = [
    "Budget", "Column", "Constraint", "Contract", "FixedCombinations", "IdentifierPolicy", "Inequality",
    "Limit", "Privacy", "Role", "Split", "Sum", "Task", "Training", "Unit",
]
