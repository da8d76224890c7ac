"""Errors that callers may want to catch."""


class InputError(ValueError):
    """Bad input from outside; the message says what was expected, what was got and what to do."""
