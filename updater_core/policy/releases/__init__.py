"""What a release is for people: its version, the size of the step to it, and where its notes are. Pure."""
