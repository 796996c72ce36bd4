"""Open the editor: ``python -m src.editing checkpoints/NAME [--data_root FOLDER] [--key value ...]``; ``--help``."""

import threading
import webbrowser
from pathlib import Path

from ..systems.programs import EDIT, read_command
from ..utils.errors import UserError, run_command


def main(argv: list[str]) -> int:
    """Load the run and serve the page until Ctrl-C."""
    description, config = read_command(EDIT, options_of(argv))
    from ..inference.opening import open_model
    from .server import EditorServer
    from .work import Worker

    system = description.load()
    studio_class = system.studio_class()
    if studio_class is None:
        raise UserError(f"the editor has nothing to edit with {description.name}")
    if "phase" not in config.explicit:
        config = config.replace(phase="test")
    model = open_model(config, system, say=lambda text: None)
    worker = Worker()
    server = EditorServer(studio_class(model, model.config), worker, Path(config.save_dir), config.port)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"editor: {server.url}", flush=True)
    print(f"edits are saved in {server.save_dir}; Ctrl-C ends the editor", flush=True)
    if not config.no_browser:
        webbrowser.open(server.url)
    try:
        worker.run()
    except KeyboardInterrupt:
        print()
    server.shutdown()
    return 0


def options_of(argv: list[str]) -> list[str]:
    """The command line with options instead of its first word, which is a run's folder or one of its checkpoint files.

    Raises:
        UserError: the word is missing, or there is no such run or file.
    """
    if any(word in ("-h", "--help") for word in argv):
        return argv
    if not argv or argv[0].startswith("-"):
        first = argv[0] if argv else "nothing"
        raise UserError(f"the first word is the run's folder, not {first}: python -m src.editing checkpoints/NAME ...")
    from ..systems.loading import folder_of

    folder, tag = folder_of(Path(argv[0]), "")
    return [f"--load_ckpt={folder}", *([f"--which_epoch={tag}"] if tag else []), *argv[1:]]


if __name__ == "__main__":
    run_command(main)
