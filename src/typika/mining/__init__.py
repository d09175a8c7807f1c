"""Typical elements out of a model: maps, patches, clusters."""
