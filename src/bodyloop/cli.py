"""The command line: parses and calls, no logic."""

import gc
import os
import sys
import warnings
from contextlib import suppress
from typing import Any, NoReturn

import tyro

from bodyloop import __version__
from bodyloop.commands.labels import Annotate, Convert, Review
from bodyloop.commands.networks import Evaluate, Reproduce, Synth, Train
from bodyloop.commands.people import Demo, Export, Fit, Infer, View
from bodyloop.commands.priors import Pool, Prior
from bodyloop.errors import InputError

Command = (
    Fit | Infer | View | Annotate | Convert | Review | Evaluate | Demo | Prior | Pool | Synth | Train | Export
    | Reproduce
)  # fmt: skip
COMMANDS: dict[str, Any] = {
    "fit": Fit,
    "infer": Infer,
    "view": View,
    "annotate": Annotate,
    "convert": Convert,
    "review": Review,
    "evaluate": Evaluate,
    "demo": Demo,
    "prior": Prior,
    "pool": Pool,
    "synth": Synth,
    "train": Train,
    "export": Export,
    "reproduce": Reproduce,
}


def main(arguments: list[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: those of the process if None.

    Returns:
        The exit status: 0 if all went well, 1 if an input failed, 2 if nothing could be done.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments == ["--version"]:
        print(f"bodyloop {__version__}")
        return 0
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: print(f"warning: {message}", file=sys.stderr)
        try:
            return _parse(arguments).run() if arguments else _help()
        except InputError as error:
            print(f"bodyloop: {error}", file=sys.stderr)
            return 2
        except SystemExit as stop:  # tyro has said why, or has shown the help
            return stop.code if isinstance(stop.code, int) else 2
        except KeyboardInterrupt:
            again = (
                "fit, infer and train --resume, annotate, prior train, synth and evaluate go on from there"
            )
            print(f"bodyloop: stopped; what was written stays, {again}", file=sys.stderr)
            return 130


def console() -> NoReturn:
    """Run a command and leave at once.

    Everything is on disk by then; taking torch, MediaPipe and numba down in order would cost most of a second.
    """
    gc.set_threshold(200_000)  # or much of the imports' time goes into looking for garbage among new modules
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _parse(arguments: list[str]) -> Command:
    command: Command = tyro.extras.subcommand_cli_from_dict(
        COMMANDS,
        args=arguments,
        prog="bodyloop",
        description=f"3D bodies from photos and 2D keypoints. Version {__version__}.",
        config=(tyro.conf.OmitSubcommandPrefixes, tyro.conf.OmitArgPrefixes),
    )
    return command


def _help() -> int:
    """Show what there is to a user who named no command."""
    with suppress(SystemExit):
        _parse(["--help"])
    return 2


if __name__ == "__main__":
    console()
