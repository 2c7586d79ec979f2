"""Each vendor's own API beside the common protocol."""
