"""Compile training and evaluation for Ascend on a machine without an NPU, and say what they would take there.

``python benchmarks/simulate_ascend.py [--modes 512p,512p_feat,1024p,1024p_feat] [--graphs train,eval] [--cards 1,8]
[--size HEIGHTxWIDTH] [--soc Ascend910B2] [--output results/ascend_simulation.json] [--verbose True] [--key value ...]``

``--graphs`` takes ``train``, ``eval`` and the names of the system's passes (``generate``, ``sample``, ``encode``, ...).
``--soc`` is the chip of the stand-ins by CANN's name for it: Ascend910A, Ascend910B2, ...
Further options are those of train.py; ``--config_path FILE`` takes the place of the modes of pix2pixHD. For each graph:
the kernels chosen, the simulated peak of device memory, and the seconds of compiling on the clock and on the processor.
Below it: bytes that all kernels read and write, multiply-adds of convolutions and matrix products
(:mod:`benchmarks.ascend.graphs` says what counts), how long the chip of ``--soc`` takes at least
(:mod:`benchmarks.ascend.roofline`, with the sources), and the operators that move most; with ``--verbose`` all of them.
The exit status is 1 if an operator has no kernel on Ascend, if a shape is not known before the run, or if training with
a preset that has a budget takes more memory than that or more than ten minutes of the processor to compile.

This is MindSpore's own simulation (``MS_SIMULATION_LEVEL=1``). Without CANN, stand-ins take its place, which know no
kernel: whether CANN's kernels take these types and shapes, what they compute and how fast is not answered here.
"""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.ascend.compiler import Operator, Report, compile_graph
from benchmarks.ascend.jobs import Job
from benchmarks.ascend.roofline import roof_words
from benchmarks.ascend.standins import SOC, check_soc, prepare_cann
from benchmarks.own_options import read_own, words_of
from src.options.config import Config
from src.systems.programs import load_config
from src.utils.errors import UserError, run_command
from src.utils.files import atomic_write

# modes of pix2pixHD; translation compiles the encoder, too, where there is one
_ENCODER = ("--use_encoded_image", "True")
_MODES = {"512p": (), "512p_feat": _ENCODER, "1024p": (), "1024p_feat": _ENCODER}
# GiB that one training step of a preset may take in float32 with up to so many samples, and what brings it to 60 % of
# that: recomputation together with 16 bits, or by itself where a system trains in float32 alone
_BUDGETS = {
    "pix2pixhd_512p": (16.0, 1, "16 bits"),
    "pix2pixhd_512p_feat": (16.0, 1, "16 bits"),
    "pix2pixhd_1024p": (40.0, 1, "16 bits"),
    "pix2pixhd_1024p_feat": (40.0, 1, "16 bits"),
    "fullglow_cityscapes_512": (16.0, 1, "16 bits"),
    # 70 % of what CycleGAN takes at the same size
    "cut_gta2cityscapes": (5.5, 1, "16 bits"),
    "hflow_128": (12.0, 4, "recompute"),
    "hflow_256": (20.0, 4, "recompute"),
}
# seconds of the processor that compiling such a step may take
_MOST_SECONDS = 600.0
# operators that are listed below a graph without --verbose, those that move most
_SHOWN = 6
_COSTS = f"{'GB read':>8} {'GB written':>10} {'G multiply-adds':>16} {'ms at least':>12}"
_OWN = {
    "modes": ",".join(_MODES),
    "graphs": "train,eval",
    "cards": "1,8",
    "size": "",
    "soc": SOC,
    "output": "results/ascend_simulation.json",
    "verbose": "False",
}


def main(argv: list[str]) -> int:
    """Compile one graph after the other, print a line for each and write everything to a JSON file."""
    own, options = read_own(argv, _OWN, __doc__)
    jobs = _jobs(own, options)
    cann = prepare_cann()
    if cann.is_real and own["soc"] != SOC:
        raise UserError("soc names a chip of the stand-ins, and this host has a CANN: leave it out")
    print(f"{cann.words}, chip {own['soc']}; {' '.join(words_of(options)) or 'default options'}")
    print(roof_words(own["soc"]))
    print(
        f"{'graph':30} {'cards':>5} {'aclnn':>6} {'aclop':>6} {'hccl':>5} {'other':>5} {'peak GiB':>9} {'seconds':>8} "
        f"{'processor':>9}  convolutions"
    )
    rows = []
    for name, job, budget in jobs:
        report = compile_graph(job, cann)
        if budget and report.passed and report.peak_gib > budget:
            report.problems.append(f"simulated peak {report.peak_gib:.2f} GiB is above the budget of {budget:.1f} GiB")
        if budget and report.processor_seconds > _MOST_SECONDS:
            report.problems.append(f"compiling took {report.processor_seconds:.0f} s, more than {_MOST_SECONDS:.0f} s")
        rows.append({"name": name, "budget_gib": budget} | report.to_dict())
        _show(name, report, own["verbose"].lower() == "true")
        _write(Path(own["output"]), cann.words, roof_words(own["soc"]), rows)
    failed = [row["name"] for row in rows if not row["passed"]]
    print(f"{cann.words}; {len(rows) - len(failed)} of {len(rows)} graphs passed; written to {own['output']}")
    return 1 if failed else 0


def _jobs(own: dict[str, str], options: dict[str, str]) -> list[tuple[str, Job, float | None]]:
    """Name, job and budget of everything that was asked for.

    Raises:
        UserError: an unknown mode, graph or option.
    """
    check_soc(own["soc"])
    size = None
    if own["size"]:
        parts = own["size"].split("x")
        if len(parts) != 2 or not all(part.isdigit() for part in parts):
            raise UserError(f"size {own['size']} is not HEIGHTxWIDTH")
        size = (int(parts[0]), int(parts[1]))
    graphs, cards = own["graphs"].split(","), own["cards"].split(",")
    if not all(number.isdigit() and int(number) > 0 for number in cards):
        raise UserError(f"cards {own['cards']} is not a list of numbers such as 1,8")
    if "config_path" in options:
        presets = {Path(options["config_path"]).stem: options.pop("config_path")}
    else:
        unknown = set(own["modes"].split(",")) - set(_MODES)
        if unknown:
            raise UserError(
                f"mode {', '.join(unknown)} is not one of {', '.join(_MODES)}; other presets: --config_path FILE"
            )
        presets = {mode: str(ROOT / "configs" / f"pix2pixhd_{mode}.yaml") for mode in own["modes"].split(",")}
    jobs = []
    for name, path in presets.items():
        words = ("--config_path", path, *words_of(options))
        config = load_config(words)
        for graph in graphs:
            # translation runs on one device
            for number in cards if graph == "train" else cards[:1]:
                more = _MODES.get(name, ()) if graph == "eval" else ()
                job = Job(graph, (*words, *more), int(number) if graph == "train" else 1, size, own["soc"])
                jobs.append((f"{name} {graph}", job, _budget(Path(path).stem, graph, config, size)))
    return jobs


def _budget(preset: str, graph: str, config: Config, size: tuple[int, int] | None) -> float | None:
    full, most, how = _BUDGETS.get(preset, (0.0, 0, ""))
    if not full or graph != "train" or config.batch_size > most or size:
        return None
    return 0.6 * full if config.recompute and (how == "recompute" or config.precision != "fp32") else full


def _show(name: str, report: Report, verbose: bool) -> None:
    numbers = [report.job.cards, *(report.kernels.get(kind, 0) for kind in ("aclnn", "aclop", "hccl", "other"))]
    verdict = "ok" if report.passed else "FAILED"
    columns = " ".join(f"{number:6d}" for number in numbers)
    times = f"{report.seconds:8.1f} {report.processor_seconds:9.1f}"
    print(f"{name:29} {columns} {report.peak_gib:9.2f} {times}  {report.conv_precision:12}  {verdict}", flush=True)
    for problem in report.problems:
        print(f"    {problem}", flush=True)
    if report.total is not None:
        print(f"    {'':24} {'kernels':>7}  {_COSTS}")
        print(f"    {'all but views':24} {report.total.number:7d}  {_cost_words(report.total)}")
    listed = sorted(report.operators.items(), key=lambda item: -item[1].read_bytes - item[1].written_bytes)
    for name, operator in listed if verbose else listed[:_SHOWN]:
        print(f"    {name:24} {operator.number:7d}  {_cost_words(operator)}  {operator.kind}", flush=True)


def _cost_words(cost: Operator) -> str:
    bound = f"{cost.bound_ms:12.2f}" if cost.bound_ms is not None else f"{'unknown':>12}"
    return f"{cost.read_bytes / 1e9:8.2f} {cost.written_bytes / 1e9:10.2f} {cost.multiply_adds / 1e9:16.1f} {bound}"


def _write(path: Path, words: str, bound: str, rows: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(path, json.dumps({"what": words, "bound": bound, "graphs": rows}, indent=1).encode())


if __name__ == "__main__":
    run_command(main)
