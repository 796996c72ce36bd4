"""Encode the training instances of a run with features, cluster them, and write feature maps.

``python precompute_feature_maps.py --name label2city_512p_feat [--only_clusters True] [--key value ...]``
"""

import src  # noqa: F401, I001  (sets the environment before MindSpore is imported)
from src.systems.programs import PRECOMPUTE, read_command
from src.utils.errors import run_command


def main(argv: list[str]) -> int:
    """Cluster features, and write ``{phase}_feat`` for the 1024p recipe."""
    description, config = read_command(PRECOMPUTE, argv)
    from src.evaluation.command import precompute

    return precompute(description.load(), config)


if __name__ == "__main__":
    run_command(main)
