"""What people change about clusters by hand: edits, kept apart from what the run found."""
