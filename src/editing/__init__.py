"""The editor: a page in the browser where label maps and images are edited and a trained system translates them.

``python -m src.editing checkpoints/NAME``. It needs no packages beyond those of training, and no network.
"""

__all__: list[str] = []
