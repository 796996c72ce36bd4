"""Training beside the published code from one start: what both sides are given, and how their curves are compared."""
