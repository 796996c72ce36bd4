"""Two steps of a tiny training under MindSpore's profiler."""

__all__ = ["measure"]

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from tests.tiny_runs import make_streets, options_of

ROOT = Path(__file__).resolve().parents[2]
_SHOWN = 10


def measure(target: str, words: list[str], folder: str) -> dict[str, Any]:
    """The trace that train.py leaves in its run folder: how many events, and what took longest."""
    home = Path(folder)
    data = make_streets(home / "data", train=4, test=0)
    options = options_of(
        data_root=data, save_ckpt_dir=home, mode="graph", device_target=target, no_html=True, profile_steps="3:4"
    )
    done = subprocess.run([sys.executable, str(ROOT / "train.py"), *options, *words], capture_output=True, text=True)
    print(done.stdout, done.stderr, flush=True)
    if done.returncode:
        raise RuntimeError(f"train.py ended with status {done.returncode}: {done.stderr[-400:]}")
    traces = sorted(home.rglob("trace_view.json"))
    if not traces:
        return {"problem": "the profiler left no trace_view.json"}
    events = json.loads(traces[0].read_text())
    events = events["traceEvents"] if isinstance(events, dict) else events
    spent: Counter[str] = Counter()
    for event in events:
        if event.get("ph") == "X":
            spent[str(event["name"])] += float(event.get("dur", 0))
    return {
        "file": str(traces[0].relative_to(home.parent)),
        "events": sum(event.get("ph") == "X" for event in events),
        "longest, ms": {name: round(micro / 1000, 2) for name, micro in spent.most_common(_SHOWN)},
    }
