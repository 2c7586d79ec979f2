"""What the text of one tag says: its version, its tail, and the words in it."""
