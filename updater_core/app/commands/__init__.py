"""The commands of people that have a module of their own."""
