"""What every command shares: parsing, progress, messages, a quiet TensorFlow."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import io
import json
import os
import re
import select
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from types import FrameType
from typing import Any, TypeVar

from keras_unet.config import Config
from keras_unet.errors import BadData, BadUsage, Terminated, flags_in
from keras_unet.files import as_type

_T = TypeVar("_T")

Say = Callable[[Any], None]
"""Prints a line, or a table."""


@contextlib.contextmanager
def _readers_may_leave() -> Iterator[None]:
    """Ends the command quietly where nobody reads on, as in front of ``| head``.

    Its status is 1, as Python's documentation has it and Rich, which prints tables.
    """
    try:
        try:
            yield
        finally:
            print(end="", flush=True)
    except BrokenPipeError:
        # Python would try once more as it ends, and complain.
        for stream in _unread():
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
        raise SystemExit(1) from None


def _unread() -> list[int]:
    """Returns which of stdout (1) and stderr (2) are pipes that nobody reads."""
    if not hasattr(select, "poll"):
        return [1, 2]
    poll = select.poll()
    for stream in (1, 2):
        poll.register(stream, 0)
    gone = select.POLLERR | select.POLLHUP
    return [stream for stream, state in poll.poll(0) if state & gone]


def checked(config: Config) -> Config:
    """Returns a config that a program made, as a command line would have made it.

    Raises:
        BadUsage: it holds what no flag can say.
    """

    def plain(value: Any) -> Any:
        return value.tolist() if hasattr(value, "tolist") else os.fspath(value)

    try:
        values = json.loads(json.dumps(dataclasses.asdict(config), default=plain))
        return as_type(values, Config)
    except (TypeError, ValueError) as error:
        raise BadUsage(f"the config: {error}") from None


@_readers_may_leave()
def parse(kind: Callable[..., _T], argv: Sequence[str] | None, **options: Any) -> _T:
    """Returns what ``tyro`` makes of the command line; a wrong one ends with status 2.

    Args:
        kind: dataclass or function whose arguments are the flags.
        argv: words after the command's name; None takes them from the shell.
        options: further arguments of ``tyro.cli``.
    """
    import tyro

    words = [_decimal(word) for word in (sys.argv[1:] if argv is None else argv)]
    if empty := [word for word in words if re.fullmatch("(--[a-z-]+=)?", word)]:
        # As a path, it would be the working directory.
        where = f"{empty[0]} has no value" if empty[0] else "a word is empty"
        print(f"error: {where}: is a variable not set?", file=sys.stderr)
        raise SystemExit(2)
    parsed: _T = tyro.cli(
        kind, args=words, config=(tyro.conf.OmitArgPrefixes,), **options
    )
    return parsed


def require_one_way(words: Sequence[str]) -> None:
    """Refuses a command line that says in two ways how large images are seen.

    Raises:
        BadUsage: it has --image-size and --resolution.
    """
    if {"--image-size", "--resolution"} <= flags_in(words):
        raise BadUsage(
            "--image-size and --resolution both say how large images are seen: give "
            "--image-size H W to bring all to one size, or --resolution 1 to leave "
            "them at their own"
        )


_PACKAGES = {
    "beam": ("apache_beam",),
    "bench": ("torch",),
    "kaggle": ("kagglehub",),
    "onnx": ("onnx", "tf2onnx", "onnxruntime"),
}
"""Of the extras that have others than the package of their own name."""


def how_to_install(extra: str) -> str:
    """Returns the command, which finds the installed package wherever it is given."""
    return f'pip install "keras-unet-studio[{extra}]"'


def require_extra(what: str, name: str) -> None:
    """Refuses ``what`` where the packages of an extra are missing.

    Raises:
        BadUsage: one of them is.
    """
    needed = _PACKAGES.get(name, (name,))
    if missing := [each for each in needed if not is_installed(each)]:
        raise BadUsage(
            f"{what} needs {', '.join(missing)}, not installed: {how_to_install(name)}"
        )


def require_extras(formats: Sequence[str], log: Sequence[str] = ()) -> None:
    """Refuses at the start what could not be written in the end.

    Raises:
        BadUsage: an extra is missing.
    """
    wanted = [("--log", name) for name in log]
    wanted += [("--formats", name) for name in formats if name == "onnx"]
    for flag, name in wanted:
        require_extra(f"{flag} {name}", name)


def _decimal(word: str) -> str:
    """Returns a colour such as 0x00d7ff as the number that tyro can read."""
    return str(int(word, 16)) if re.fullmatch("0x[0-9a-fA-F]{1,8}", word) else word


@_readers_may_leave()
def run_verb(verb: Callable[[], int | None]) -> int:
    """Returns the status of ``verb``, turning what a user can cause into a message.

    0 is done, 1 is wrong data, 2 wrong usage, 130 an interrupt (Ctrl-C), 143 SIGTERM;
    where nobody reads what it prints, it ends with 1.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A name that the console cannot show must not end the command.
            stream.reconfigure(errors="backslashreplace")
    try:
        with _sigterm_stops():
            _check_environment()
            return verb() or 0
    except (BadUsage, BadData) as error:
        print(f"error: {error}", file=sys.stderr)
        return error.status
    except OSError as error:
        # Of a socket, say, it is an error like any other.
        if isinstance(error, BrokenPipeError) and _unread():
            raise
        # A full disk, a folder that may not be written to: the message has the path.
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as stop:
        terminated = isinstance(stop, Terminated)
        how = "terminated" if terminated else "interrupted"
        print(how, *stop.args, sep=". ", file=sys.stderr)
        return 143 if terminated else 130


@contextlib.contextmanager
def _sigterm_stops() -> Iterator[None]:
    """Has SIGTERM end the block as Ctrl-C does, where that is allowed."""
    asked = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        # What comes again, as from timeout, must not cut off the tidying up.
        if not asked:
            asked = True
            raise Terminated

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def speaker() -> Say:
    """Returns a function that prints a line, never cut or coloured, or a table."""
    from rich.console import Console

    # In a notebook, each line would become an output of its own.
    console = Console(highlight=False, force_jupyter=False)

    def say(line: Any) -> None:
        console.print(line, markup=False, soft_wrap=isinstance(line, str))

    return say


def load_tensorflow() -> None:
    """Imports TensorFlow without its start-up chatter, which no variable silences."""
    if "tensorflow" in sys.modules:
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Stronger than what ~/.keras/keras.json may say.
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    with held_back_stderr():
        import tensorflow as tf

    # Its Python side speaks of retracing and of assets written.
    tf.get_logger().setLevel("ERROR")


def is_installed(package: str) -> bool:
    """Returns whether a package can be imported, without doing so."""
    found = find_spec(package)
    # A folder of that name in the working directory has no origin: wandb/ for example.
    return bool(found and found.origin)


def _check_environment() -> None:
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    if backend != "tensorflow":
        raise BadUsage(
            f"KERAS_BACKEND is {backend}; keras_unet runs on tensorflow. "
            "Unset it, or set it to tensorflow."
        )
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        version = importlib.metadata.version("keras-unet")
        raise BadUsage(
            f"the package keras-unet {version} is installed too, and both use the "
            "import name keras_unet. Run: pip uninstall keras-unet, then "
            "pip install --force-reinstall --no-deps keras-unet-studio (or . in its "
            "checkout)."
        )


# Of two threads, the second would take the first one's file for stderr, and keep it.
_ONE_THREAD = threading.RLock()


@contextlib.contextmanager
def held_back_stderr() -> Iterator[None]:
    """Keeps what C++ code writes to stderr, and shows it if an error ends the block."""
    sys.stderr.flush()
    with _ONE_THREAD, tempfile.TemporaryFile() as held:
        shown = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(shown, held.read())
            raise
        finally:
            os.dup2(shown, 2)
            os.close(shown)


Progress = Callable[[int, int], None]
"""Takes how many are done and how many there are in all."""


def silent(*_: Any) -> None:
    """Shows nothing, says nothing."""


@contextlib.contextmanager
def progress_bar(title: str) -> Iterator[Progress]:
    """Yields a function that moves a bar on stderr, with speed and time left.

    Where stderr is no terminal, nothing is shown.
    """
    from rich import progress
    from rich.console import Console
    from rich.text import Text

    class Speed(progress.ProgressColumn):
        def render(self, task: progress.Task) -> Text:
            return Text(f"{task.speed:.3g}/s" if task.speed else "")

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        Speed(),
        progress.TimeRemainingColumn(),
    )
    console = Console(file=sys.stderr)
    shown = console.is_terminal
    with progress.Progress(*columns, console=console, disable=not shown) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextlib.contextmanager
def on_interrupt(message: Callable[..., str], *arguments: Any) -> Iterator[None]:
    """Has Ctrl-C or SIGTERM in the block say the message, unless it says something.

    Args:
        message: returns it; asked only then.
        arguments: of ``message``.
    """
    try:
        yield
    except KeyboardInterrupt as interrupt:
        said = interrupt.args or (message(*arguments),)
        raise type(interrupt)(*said) from None
