"""The orders of an operator: how each is carried out, and how they come in."""
