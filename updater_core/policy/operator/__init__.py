"""What an operator has decided of a service, and whether that still counts."""
