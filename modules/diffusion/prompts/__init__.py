"""Prompts: `parse` reads the notation, `tokens` cuts it to what a text encoder takes, `encode` runs the encoder."""
