"""The journaled transaction, its journal, failure causes, health verdicts."""
