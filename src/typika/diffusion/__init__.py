"""A model of the collection: encoders, latents, denoisers, training."""
