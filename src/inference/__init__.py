"""Trained systems from Python: ``load`` a run, then call ``translate``, ``sample``, ``encode`` or ``decode``.

Pictures go in as numpy arrays or PIL images and come out the same way.
"""

__all__ = ["Model", "load"]

from src.inference.loading import load
from src.inference.model import Model
