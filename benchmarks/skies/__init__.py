"""The parts of benchmarks/semantic.py: its scenes, its judge, and what it measures of a run."""
