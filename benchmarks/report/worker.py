"""One part of a report: ``python -m benchmarks.report.worker MODULE SETTINGS ANSWER``."""

import src  # noqa: F401, I001  (sets the environment before MindSpore is imported)
import importlib
import json
import sys
from pathlib import Path


def main(module: str, settings: str, answer: str) -> int:
    """Write what the module measures, or the error that it ends with, to ``answer``."""
    found = {}
    try:
        name = module if "." in module else f"benchmarks.report.{module}"
        found = importlib.import_module(name).measure(**json.loads(settings))
    except Exception as error:
        lines = [line for line in str(error).splitlines() if line.strip() and not line.startswith("---")]
        found["problem"] = f"{type(error).__name__}: {' '.join(lines[:3])[:600]}"
        raise
    finally:
        Path(answer).write_text(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
