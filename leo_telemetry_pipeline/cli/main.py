"""Entry point of ``leo-telemetry``: the fast path for hooks, commands by name, errors in one line.

Belongs here: what all commands share. Does not: any command. Heavy modules are imported lazily, so that ``--help`` and
``findings`` respond immediately.
"""

import os
import sys


def main() -> None:
    """Run the command and exit with its status."""
    if sys.argv[1:3] == ["hook", "session-start"]:
        from leo_telemetry_pipeline.cli.claude.hook import session_start

        session_start()
        return
    if sys.argv[1:3] == ["hook", "span"]:
        from leo_telemetry_pipeline.cli.claude import hook_spans

        hook_spans.main()
        return
    if os.name == "nt":
        sys.exit("leo-telemetry runs on Linux and macOS: on Windows use it inside WSL")
    sys.exit(_run())


def _run() -> int:
    from leo_telemetry_pipeline.cli import signals
    from leo_telemetry_pipeline.cli.processes import garbage

    signals.end_at_once()
    garbage.collect_rarely()
    from leo_telemetry_pipeline.cli import output

    output.prepare()
    try:
        code = _command()
        sys.stdout.flush()
    except output.Unwritable as error:
        output.give_up()
        return _say(error.message, error.exit_code)
    return code


def _command() -> int:
    import click

    from leo_telemetry_pipeline.cli import output, signals
    from leo_telemetry_pipeline.cli.commands import cli
    from leo_telemetry_pipeline.errors import USAGE, UserError

    for argument in sys.argv[1:]:
        if any("\ud800" <= letter <= "\udfff" for letter in argument):
            return _say(f"{argument!a} is not UTF-8: write it in the encoding of your terminal", USAGE)
    try:
        # Until the command is imported, signals end the process immediately.
        return cli.main(prog_name="leo-telemetry", standalone_mode=False, obj=signals.listen) or 0
    except output.Unwritable:
        raise
    except UserError as error:
        return _say(error.message, error.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return USAGE
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "leo-telemetry"
        return _say(f"{error.format_message().rstrip('.')}: see `{command} --help`", USAGE)
    except (KeyboardInterrupt, click.Abort):
        return _say("interrupted", 128 + signals.number())
    except Exception as error:
        failure = _database_failure(error)
        if failure is None:
            raise
        return _say(*failure)


def _database_failure(error: Exception) -> tuple[str, int] | None:
    """Return the message and exit status for a database error, None for any other error."""
    import psycopg2

    from leo_telemetry_pipeline.errors import NO_DATABASE

    error = _driver_error(error)
    if isinstance(error, psycopg2.errors.UndefinedTable | psycopg2.errors.UndefinedFunction):
        return "The database lacks some tables or functions: run `leo-telemetry migrate`", NO_DATABASE
    if isinstance(error, psycopg2.errors.InsufficientPrivilege):
        first = str(error).splitlines()[0]
        return f"The database user lacks a privilege ({first}): grant it, or use another user", NO_DATABASE
    if isinstance(error, psycopg2.errors.DiskFull):
        first = str(error).splitlines()[0]
        return f"The database's disk is full ({first}): make room there", NO_DATABASE
    if isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError):
        first = str(error).strip().splitlines()[0] if str(error).strip() else "the connection was lost"
        return f"The database stopped answering ({first}): try again when it is back", NO_DATABASE
    if isinstance(error, psycopg2.Error):
        first = " ".join(str(error).split())[:300] or type(error).__name__
        return f"The database refused ({first}): check that its tables are as `leo-telemetry migrate` creates them", 1
    return None


def _driver_error(error: Exception) -> Exception:
    """Unwrap the driver's error from SQLAlchemy's; prefer its cause if the rollback on a lost connection failed."""
    import psycopg2

    # A wrapper is recognized by its attribute ``orig``, because most commands do not import SQLAlchemy.
    of_driver = getattr(error, "orig", error)
    cause: BaseException | None = of_driver
    while isinstance(of_driver, psycopg2.Error) and cause is not None:
        if isinstance(cause, psycopg2.Error) and not isinstance(cause, psycopg2.InterfaceError):
            return cause
        cause = cause.__context__
    return of_driver


def _say(message: str, exit_code: int) -> int:
    if message:
        print(f"leo-telemetry: {message}", file=sys.stderr)
    return exit_code
