"""Sprites out of text lines."""
