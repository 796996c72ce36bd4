"""Find out on a device what cannot be known without one, and write one JSON and one page about it to send back.

    python benchmarks/ascend_report.py [--output results/ascend_report] [--device_target auto] [--steps 20]
        [--parts NAME,NAME] [--modes 512p,512p_feat,1024p,1024p_feat] [--key value ...]

Further options are those of train.py and go to every part that has options. On a CPU networks and images are small.
``--parts`` takes the first words of the names of parts. Each part has a process of its own: one that fails is named,
and the rest goes on. The exit status is 1 if a part failed.

The report says: versions of this project, Python, MindSpore, CANN and driver, the chip and processor, the variables
that change HCCL and MindSpore; measured precision; errors of the reference sets; times and memory; and what failed,
with the last lines of its log. Paths, the names of host and user, and IP addresses are taken out of it.
"""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.own_options import read_own, words_of
from benchmarks.report.page import page_of
from benchmarks.report.parts import MODES, Part, parts_of, run_part
from benchmarks.report.private import without_names
from src.utils.errors import UserError, run_command
from src.utils.files import atomic_write
from src.utils.runtime import choose_target

_OWN = {
    "output": "results/ascend_report",
    "device_target": "auto",
    "steps": "20",
    "parts": "",
    "modes": ",".join(MODES),
}


def main(argv: list[str]) -> int:
    """Run the parts one after the other, print a line for each, and write the report after each."""
    own, options = read_own(argv, _OWN, __doc__)
    words = words_of(options)
    if not own["steps"].isdigit() or int(own["steps"]) < 1:
        raise UserError(f"steps {own['steps']} is not a number of steps such as 20")
    modes = own["modes"].split(",")
    if set(modes) - set(MODES):
        raise UserError(f"modes {own['modes']}: known are {', '.join(MODES)}")
    target, why = choose_target(own["device_target"])
    output = Path(own["output"]).resolve()
    if output.exists():
        raise UserError(f"{output} exists: pass another --output, or remove it")
    parts = parts_of(target, target == "CPU", int(own["steps"]), modes, output, words)
    if own["parts"]:
        parts = [part for part in parts if part.name.startswith(tuple(own["parts"].split(",")))]
        if not parts:
            raise UserError(f"parts {own['parts']} begins the name of no part")
    print(f"device {target} ({why}), {len(parts)} parts, report in {output}", flush=True)
    return report(parts, target, output)


def report(parts: list[Part], target: str, output: Path) -> int:
    """Run ``parts`` and write ``report.json`` and ``report.html`` to ``output``, which is made; return the status."""
    logs = output / "logs"
    logs.mkdir(parents=True)
    results: list[dict] = []
    for part in parts:
        results.append(run_part(part, target, logs))
        last = results[-1]
        verdict = "ok" if last["passed"] else f"FAILED: {last['problem']}"
        print(f"{part.name:45} {last['seconds']:7.1f} s  {verdict}", flush=True)
        # after every part, so that a host that hangs leaves a report too
        text = without_names(json.dumps({"target": target, "parts": results}, indent=1), output)
        atomic_write(output / "report.json", text.encode())
        atomic_write(output / "report.html", page_of(json.loads(text)).encode())
    failed = [result["name"] for result in results if not result["passed"]]
    print(
        f"{len(results) - len(failed)} of {len(results)} parts passed{': not ' + ', '.join(failed) if failed else ''}"
    )
    print(f"to send back: {output / 'report.json'} and {output / 'report.html'}")
    return 1 if failed else 0


if __name__ == "__main__":
    run_command(main)
