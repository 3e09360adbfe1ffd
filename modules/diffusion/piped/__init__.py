"""Families that run through diffusers' own pipelines: one module each, with the same function names.

Noise, seeds, progress, previews, cancelling, memory and the autoencoder are ours (`run`); the pipeline encodes the
prompt and walks from noise to latents. What these families can do is in `modules.diffusion.capabilities`.
"""
