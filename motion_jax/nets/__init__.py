"""Networks as Flax Linen modules. They know no data and no optimiser."""
