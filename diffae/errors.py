"""The exceptions that a person at the command line is meant to read."""


class UserError(Exception):
    """Bad input: one clear line that names the file or flag and what to do about it.

    The command line prints the message on standard error and exits with status 2.
    """


class Terminated(KeyboardInterrupt):
    """SIGTERM came: like Ctrl-C, with the exit status that a batch system expects (143)."""
