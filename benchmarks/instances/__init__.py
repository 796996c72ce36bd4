"""The parts of ``benchmarks/instance_features.py``: its held-out streets, what is drawn of them, and the numbers."""
