"""Curves as SVG: a panel for each loss, published seeds grey, ours in colour."""

__all__ = ["draw"]

from collections.abc import Mapping
from html import escape

import numpy as np

from .curves import BLOCK, Curves, Run

_WIDTH, _HEIGHT, _LEFT, _TOP, _GAP = 250, 130, 48, 40, 34
_COLOURS = ("#c0392b", "#d98880", "#e6b0aa")


def draw(ours: Curves, theirs: Curves | None, limits: Mapping[str, float] | None = None) -> str:
    """One panel a loss, two in a row: means over blocks of steps, from 0 to the last step; ``limits`` dashed."""
    beside = f"{escape(theirs.made_by['code'])} grey" if theirs else "the least possible dashed"
    columns = 2
    rows = -(-len(ours.loss_names) // columns)
    width, height = columns * (_WIDTH + _LEFT) + 12, _TOP + rows * (_HEIGHT + _GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="10">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="{_LEFT}" y="16" font-size="12">{escape(ours.system)}: this project red, '
        f"{beside}, a line a seed, means of {BLOCK} steps</text>",
    ]
    for j, name in enumerate(ours.loss_names):
        row, column = divmod(j, columns)
        x, y = _LEFT + column * (_WIDTH + _LEFT), _TOP + row * (_HEIGHT + _GAP)
        parts += _panel(ours, theirs.runs if theirs else [], j, name, x, y, (limits or {}).get(name))
    return "\n".join([*parts, "</svg>", ""])


def _panel(ours: Curves, theirs: list[Run], j: int, name: str, x: int, y: int, limit: float | None = None) -> list[str]:
    lines = [(np.array(run.curve)[:, j], "#808080") for run in theirs]
    lines += [(np.array(run.curve)[:, j], colour) for run, colour in zip(ours.runs, _COLOURS, strict=False)]
    values = np.concatenate([line for line, _ in lines])
    if limit is not None:
        values = np.append(values, limit)
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    span = high - low or 1.0
    found = [
        f'<rect x="{x}" y="{y}" width="{_WIDTH}" height="{_HEIGHT}" fill="none" stroke="#cccccc"/>',
        f'<text x="{x}" y="{y - 5}">{escape(name)}</text>',
        f'<text x="{x - 4}" y="{y + 9}" text-anchor="end">{high:.3g}</text>',
        f'<text x="{x - 4}" y="{y + _HEIGHT}" text-anchor="end">{low:.3g}</text>',
        f'<text x="{x + _WIDTH}" y="{y + _HEIGHT + 12}" text-anchor="end">{ours.steps} steps</text>',
    ]
    if limit is not None:
        level = f"{y + _HEIGHT * (1 - (limit - low) / span):.1f}"
        ends = f'x1="{x}" x2="{x + _WIDTH}" y1="{level}" y2="{level}"'
        found.append(f'<line {ends} stroke="#808080" stroke-dasharray="4 3"/>')
    for line, colour in lines:
        across = x + _WIDTH * (np.arange(len(line)) + 0.5) / len(line)
        down = y + _HEIGHT * (1 - (line - low) / span)
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(across, down, strict=True) if np.isfinite(b))
        found.append(f'<polyline points="{points}" fill="none" stroke="{colour}"/>')
    return found
