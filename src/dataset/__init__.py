"""Kinds of data: reading, pairing, transforms, MindRecord shards and the pipeline."""
