"""The parts of ``benchmarks/fashion.py``: its images, its classifier, and what it measures of a flow."""
