"""The editor: a page in the browser where label maps are repainted and a trained system answers.

``python -m src.editing checkpoints/NAME``. It needs nothing beyond what training needs, and no network.
"""

__all__: list[str] = []
