"""What the updater costs: requests, time and memory, measured and held against budgets."""
