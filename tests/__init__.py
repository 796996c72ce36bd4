"""Tests; a package, so that their helpers have names of their own."""
