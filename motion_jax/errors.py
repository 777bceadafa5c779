"""The one error that a user is meant to read."""


class UserError(Exception):
    """One sentence: what is wrong, where (file, place), and what to do about it.

    The command line prints it after ``motion-jax: error:`` and exits with status 2. Raise it before
    anything is written, or remove what was begun.
    """
