"""Errors that the user can fix, shown as one line without a traceback.

Belongs here: these errors and their exit codes. Does not: programming errors, which keep their traceback.
"""

USAGE = 2
NO_DATABASE = 3
NOT_SUCCEEDED = 4


class UserError(Exception):
    """Stop with a one-line ``message`` that names the problem and its remedy; the command exits with ``exit_code``."""

    def __init__(self, message: str, exit_code: int = USAGE) -> None:
        super().__init__(message)
        self.message = message
        self.exit_code = exit_code


class DatabaseAway(UserError):
    """Stop because the database does not answer."""

    def __init__(self, message: str) -> None:
        super().__init__(message, NO_DATABASE)
