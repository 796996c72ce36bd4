"""Trained runs: opening them, and the calls that take and return images."""
