"""What the worker part of an extension (`adapter.py`) imports; this needs torch, so the page never loads it."""

from modules.diffusion.adapter import Adapter, Step
from modules.diffusion.parts import Parts

__all__ = ["Adapter", "Parts", "Step"]
