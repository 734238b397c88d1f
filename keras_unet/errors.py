"""The errors that a user can cause, and being told to stop; an entry prints them."""


class BadUsage(ValueError):  # noqa: N818, the name says it
    """Wrong flags, or a run folder in the way: the command ends with status 2."""

    status = 2


class BadData(ValueError):  # noqa: N818, the name says it
    """Something read from disk is wrong: the command ends with status 1."""

    status = 1


class Terminated(KeyboardInterrupt):
    """SIGTERM: all ends as with Ctrl-C, and the command with status 143."""
