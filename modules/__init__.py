"""Noisette: a Stable Diffusion web UI. Importing this package does nothing; see `modules.app`."""

__version__ = "0.1.0"
