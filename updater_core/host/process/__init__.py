"""Programs of the operator's that are run to their end."""
