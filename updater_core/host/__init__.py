"""This machine: files, permissions, locks, clock, service manager, progress bars."""
