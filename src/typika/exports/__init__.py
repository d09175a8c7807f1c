"""What a run found, in the formats of the tools that people already use."""
