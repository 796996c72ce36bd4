"""Owners of options: a file of options beside the code that reads them, and the programs that take them."""

__all__ = ["EVERY_RUN", "ROOT", "Owner", "Program"]

from dataclasses import dataclass
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]
#: folder of the default file and of configs/: the checkout, or inside the installed package
ROOT = _PACKAGE.parent if (_PACKAGE.parent / "default_config.yaml").is_file() else _PACKAGE


@dataclass(frozen=True)
class Owner:
    """One file of options.

    Attributes:
        name: name of the owner in error messages and ``--help``: ``pix2pixHD``, ``paired data``.
        path: YAML documents: values, help, choices, other names of the options, names that are gone. A value without
            help gives an option of an earlier owner another default.
        programs: names of the programs that take these options; empty means all of them.
        from_command: in evaluation the values come from the command line, presets and defaults, never from the run.
    """

    name: str
    path: Path
    programs: tuple[str, ...] = ()
    from_command: bool = False

    def serves(self, program: "Program") -> bool:
        """Whether ``program`` takes these options."""
        return not self.programs or program.takes_all or bool(set(self.programs) & set(program.roles))


@dataclass(frozen=True)
class Program:
    """A command of the project.

    Attributes:
        name: name of the command, such as ``train.py``.
        roles: names by which owners select programs.
        purpose: description in one line.
        examples: two command lines.
        owners: options of its own, beside those of every run, of the data and of the system.
        opens_run: the command works on a trained run, which defines the system and its options.
        takes_all: options of every role are accepted (used from Python, where one call serves several programs).
    """

    name: str
    roles: tuple[str, ...]
    purpose: str = ""
    examples: tuple[str, ...] = ()
    owners: tuple[Owner, ...] = ()
    opens_run: bool = False
    takes_all: bool = False


#: options that every run has
EVERY_RUN = Owner("every run", ROOT / "default_config.yaml", from_command=True)
