"""The list of commands, each imported when it is called.

Belongs here: names, and the line that ``--help`` shows. Does not: what a command does.
"""

import importlib

import click

_COMMANDS = {
    "analyze": ("analysis:analyze", "Analyze now, in this process, and print what was found."),
    "compare": ("compare:compare", "Tell whether one thing, or one period, is slower than another."),
    "demo": ("demo:demo", "See it find planted slowdowns, in a home of its own."),
    "dev": ("processes.commands:dev", "Run database, daemon, UI and OTLP receiver until Ctrl-C."),
    "drain": ("spans:drain", "Store spans that wait on disk since the database was away."),
    "doctor": ("doctor:doctor", "Tell whether everything works, and what to do if not."),
    "enqueue": ("analysis:enqueue", "Queue an analysis."),
    "env": ("processes.commands:env", "Print what plain `dagster` commands need: eval it."),
    "findings": ("findings:findings", "Show what the last analysis found."),
    "hook": ("claude.hook_commands:hook", "Let Claude Code keep analyses fresh, and measure it."),
    "import": ("import_files:load", "Store spans from files."),
    "items": ("items:items", "List improvement items; show or close one."),
    "maintain": ("maintain:maintain", "Make partitions, and let go of old spans."),
    "migrate": ("processes.commands:migrate", "Bring the database's tables up to date."),
    "purge": ("spans:purge", "Delete spans for good: by age, project or trace."),
    "psql": ("processes.commands:psql", "Open a SQL shell on the database."),
    "running": ("running:running", "Show operations that have begun and have not ended."),
    "runs": ("analysis:runs", "List analysis runs; show or cancel one."),
    "serve": ("processes.serve:serve", "Take spans from OpenTelemetry, over HTTP."),
    "service": ("processes.service:service", "Run the worker whenever you are logged in."),
    "thresholds": ("thresholds:thresholds", "Show and change what counts as slow."),
    "why": ("why:why", "Show every value behind the last judgement of a dimension."),
    "trends": ("trends:trends", "Show how long things took from day to day."),
    "worker": ("processes.commands:worker", "Run the daemon without UI, or what is queued once."),
}
_HIDDEN = {"keep-database": "processes.commands:keep_database", "ui": "processes.ui:ui"}
# They import more before they hold anything that a signal must not end at once.
_LISTEN_LATER = {"dev", "serve", "ui", "worker"}


class _Lazy(click.Group):
    """A group whose commands are imported by name."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        place = _HIDDEN.get(cmd_name) or _COMMANDS.get(cmd_name, ("", ""))[0]
        if not place:
            return None
        module, _, name = place.partition(":")
        return getattr(importlib.import_module(f"leo_telemetry_pipeline.cli.{module}"), name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Import the command that is called, then begin to listen to signals by what ``main`` gave for it."""
        found = super().resolve_command(ctx, args)
        if ctx.obj is not None and found[0] not in _LISTEN_LATER:
            ctx.obj()
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, _COMMANDS[name][1]) for name in sorted(_COMMANDS)])


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="leo-telemetry-pipeline", prog_name="leo-telemetry")
def cli() -> None:
    """Tell which step of your work got slower, and follow it until it is fast again.

    Shell completion: eval "$(_LEO_TELEMETRY_COMPLETE=bash_source leo-telemetry)" (or zsh_source, fish_source).
    """
