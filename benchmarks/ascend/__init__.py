"""Compiling the project's graphs for Ascend on a machine that has no NPU."""
