"""Rivals of the miner, each with the miner's own interface."""
