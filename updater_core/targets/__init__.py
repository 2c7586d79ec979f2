"""How one kind of place deploys."""
