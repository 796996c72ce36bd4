"""MindI2I: image-to-image translation in MindSpore.

Importing this package prepares the environment MindSpore reads when it is imported, so import it first. ``load`` opens
a trained run: images go in as numpy arrays or PIL images and come out the same way.
"""

__all__ = ["Model", "__version__", "load"]

import os
from typing import Any

__version__ = "0.2.0"

# The oneDNN in MindSpore 2.9+ falls back to reference C convolutions on AVX-512 machines: about 90 times slower.
os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")
# Deprecation warnings of MindSpore's own internals drown the messages that matter here.
os.environ.setdefault("GLOG_v", "3")


def __getattr__(name: str) -> Any:
    # late, because MindSpore takes seconds to import
    if name == "load":
        from .systems.loading import load

        return load
    if name == "Model":
        from .inference.model import Model

        return Model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
