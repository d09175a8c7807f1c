"""Sprites out of text lines: the Learnable Typewriter."""
