"""Open the editor: ``python -m src.editing checkpoints/NAME [--data_root FOLDER] [--key value ...]``; ``--help``."""

import src  # noqa: F401, I001  (sets the environment before MindSpore is imported)
import threading
import webbrowser
from pathlib import Path

from src.utils.config import parse_options
from src.utils.errors import UserError, run_command

#: option to its default and help
_OPTIONS = {
    "which_epoch": ("latest", "checkpoint to load, an epoch or latest"),
    "device_target": ("auto", "Ascend, GPU or CPU; auto takes the first that works"),
    "mode": ("graph", "graph compiles for each size of picture; pynative does not, and is slower"),
    "precision": ("fp32", "fp32, fp16 or bf16"),
    "data_root": ("", "data set to take label maps or pictures from; that of the training by default"),
    "phase": ("test", "phase of the data set"),
    "labels": ("", "folder of label maps, instead of the data set's"),
    "instances": ("", "folder of their instance maps (16 bits)"),
    "photos": ("", "folder of their real pictures"),
    "pictures": ("", "folder of pictures, for systems that translate pictures"),
    "styles": ("", "folder of style pictures (Hierarchy Flow)"),
    "width": ("", "width to work at; as in evaluation by default"),
    "save_dir": ("results/edits", "folder for what is saved; each save gets a folder of its own in it"),
    "port": ("0", "port of the page on this machine; 0 takes a free one"),
    "no_browser": ("False", "only print the address, open no browser"),
}


def main(argv: list[str]) -> int:
    """Load the run and serve the page until Ctrl-C."""
    if not argv or any(word in ("-h", "--help") for word in argv):
        print("python -m src.editing RUN [--key value ...]; RUN is a run's folder or one of its checkpoint files")
        for key, (default, text) in _OPTIONS.items():
            print(f"  --{key} {default!r}\n      {text}")
        print("any other option of eval.py is understood, too: --cluster_path FILE, --max_instances N, ...")
        return 0
    run, words = argv[0], argv[1:]
    if run.startswith("--"):
        raise UserError(f"the first word is the run's folder, not {run}: python -m src.editing checkpoints/NAME ...")
    given = parse_options(words)
    options = {key: given.get(key, default) for key, (default, _) in _OPTIONS.items()}
    server, worker = _open(run, options, {key: value for key, value in given.items() if key not in _OPTIONS})
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"editor: {server.url}", flush=True)
    print(f"edits are saved in {server.save_dir}; Ctrl-C ends the editor", flush=True)
    if options["no_browser"].lower() not in ("true", "yes", "1"):
        webbrowser.open(server.url)
    try:
        worker.run()
    except KeyboardInterrupt:
        print()
    server.shutdown()
    return 0


def _open(run: str, options: dict[str, str], more: dict[str, str]):
    from src.editing.server import EditorServer
    from src.editing.studios import open_studio
    from src.editing.work import Worker
    from src.inference import load

    for key in ("port", "width"):
        if options[key] and not (options[key].isascii() and options[key].isdigit()):
            raise UserError(f"--{key} {options[key]} is not a whole number")
    if options["data_root"]:
        more = more | {"data_root": options["data_root"]}
    named = {key: options[key] for key in ("which_epoch", "device_target", "mode", "precision")}
    model = load(run, **named, **more)
    worker = Worker()
    return EditorServer(open_studio(model, options), worker, Path(options["save_dir"]), int(options["port"])), worker


if __name__ == "__main__":
    run_command(main)
