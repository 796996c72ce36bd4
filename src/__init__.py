"""MindI2I: image-to-image translation in MindSpore.

Importing this package prepares the environment MindSpore reads when it is imported, so import ``src`` first.
"""

import os

# The oneDNN in MindSpore 2.9+ falls back to reference C convolutions on AVX-512 machines: about 90 times slower.
os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")
# Deprecation warnings of MindSpore's own internals drown the messages that matter here.
os.environ.setdefault("GLOG_v", "3")
