"""What is remembered: records, outcomes, observed tags, codec."""
