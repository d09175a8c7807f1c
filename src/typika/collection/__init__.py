"""What the user brings: labelled images, prompts, the demo collection."""
