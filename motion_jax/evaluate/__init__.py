"""How good a result is: metrics and reports."""
