"""hflow: an invertible hierarchical generative model of images (Timonen, Aittala and Lehtinen, TMLR 2023)."""
