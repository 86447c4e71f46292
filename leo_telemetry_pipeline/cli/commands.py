"""Registry of commands, each imported when it is called.

Belongs here: names, and the line that ``--help`` shows. Does not: what a command does.
"""

import importlib

import click

_COMMANDS = {
    "alerts": ("alerts:alerts", "List alerts, test their channels, or deliver failed ones again."),
    "analyze": ("analysis:analyze", "Run an analysis now, in this process, and print its findings."),
    "compare": ("compare:compare", "Test whether one dimension, or one period, is slower than another."),
    "demo": ("demo:demo", "Find planted slowdowns in sample data, in a separate home."),
    "dev": ("processes.commands:dev", "Run database, daemon, UI and OTLP receiver until Ctrl-C."),
    "directives": ("directives:directives", "List directives; show, export or decide on one."),
    "drain": ("spans:drain", "Store spans spooled to disk while the database was unavailable."),
    "doctor": ("doctor:doctor", "Check that everything works, and say what to do if not."),
    "enqueue": ("analysis:enqueue", "Queue an analysis."),
    "env": ("processes.commands:env", "Print the environment that plain `dagster` commands need."),
    "findings": ("findings:findings", "Show what the last analysis found."),
    "hook": ("claude.hook_commands:hook", "Let Claude Code trigger analyses, and measure its work."),
    "impact": ("impact:impact", "Show what became of items, and how much time their resolution gives back."),
    "import": ("import_files:load", "Store spans from files."),
    "items": ("items:items", "List improvement items; show or close one."),
    "look": ("look:look", "Read the past that is already on this machine, and show what got slower."),
    "maintain": ("maintain:maintain", "Create partitions and drop old spans."),
    "migrate": ("processes.commands:migrate", "Bring the database's tables up to date."),
    "purge": ("spans:purge", "Permanently delete spans by age, project or trace."),
    "psql": ("processes.commands:psql", "Open a SQL shell on the database."),
    "running": ("running:running", "Show operations in progress."),
    "runs": ("analysis:runs", "List analysis runs; show or cancel one."),
    "serve": ("processes.serve:serve", "Receive spans from OpenTelemetry over HTTP."),
    "service": ("processes.service:service", "Keep a worker running as a systemd or launchd service."),
    "thresholds": ("thresholds:thresholds", "Show and change what counts as slow."),
    "trace": ("traces:trace", "Show one trace as a tree, or write it for another viewer."),
    "why": ("why:why", "Show every value behind the last judgement of a dimension."),
    "trends": ("trends:trends", "Show durations per day, and when they changed."),
    "worker": ("processes.commands:worker", "Run the daemon without the UI, or execute the queue once."),
}
_HIDDEN = {"keep-database": "processes.commands:keep_database", "ui": "processes.ui:ui"}
# These commands import more before they install the handlers: until then, they may be killed without leaving traces.
_LISTEN_LATER = {"dev", "serve", "ui", "worker"}


class _Lazy(click.Group):
    """Command group that imports its commands by name."""

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
        """Import the command, then install the signal handlers by calling ``obj``, which ``main`` passes."""
        resolved = super().resolve_command(ctx, args)
        if ctx.obj is not None and resolved[0] not in _LISTEN_LATER:
            ctx.obj()
        return resolved

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, _COMMANDS[name][1]) for name in sorted(_COMMANDS)])


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="leo-telemetry-pipeline", prog_name="leo-telemetry")
def cli() -> None:
    """Find which steps of your workflow got slower, and track each until it is fast again.

    Shell completion: eval "$(_LEO_TELEMETRY_COMPLETE=bash_source leo-telemetry)" (or zsh_source, fish_source).
    """
