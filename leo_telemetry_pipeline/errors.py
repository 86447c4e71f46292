"""The one way to tell a person that something they can change stands in the way.

Belongs here: errors whose text is meant to be read as it is, with the exit status they lead to.
Does not: programming errors, which stay ordinary exceptions and keep their traceback.
"""

USAGE = 2
NO_DATABASE = 3
NOT_SUCCEEDED = 4


class UserError(Exception):
    """Stop with one line that names the thing and its remedy.

    ``message`` is complete as it stands; ``exit_code`` is the status a command ends with.
    """

    def __init__(self, message: str, exit_code: int = USAGE) -> None:
        super().__init__(message)
        self.message = message
        self.exit_code = exit_code


class DatabaseAway(UserError):
    """Stop because the database does not answer: ``message`` names it and the remedy."""

    def __init__(self, message: str) -> None:
        super().__init__(message, NO_DATABASE)
