"""The contract: the only file a user writes."""

from synth.contract.model import (
    Approver,
    Attacks,
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
    Waiver,
)

__all__ = [
    "Approver", "Attacks", "Budget", "Column", "Constraint", "Contract", "FixedCombinations", "IdentifierPolicy",
    "Inequality", "Limit", "Privacy", "Role", "Split", "Sum", "Task", "Training", "Unit", "Waiver",
]
