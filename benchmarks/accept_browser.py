"""Cross-origin attacks in Chromium on every port of ``dev``, while the UI itself must keep working.

Belongs here: line 8 of issue 12, and hostile names on asset pages. Does not: the attacking page (attack_page.js), the
names (hostile_names), the rules (the guard's unit tests).
"""

import itertools
import json
import urllib.parse
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from benchmarks import attack_page, browser, deployed, hostile_names
from benchmarks.attack_page import SANDBOX, Stranger
from benchmarks.browser import Browser
from benchmarks.deployed import Deployed
from benchmarks.figures import Figure
from leo_telemetry_pipeline.actions.inert import markdown
from leo_telemetry_pipeline.defs.jobs import maintenance_job
from leo_telemetry_pipeline.store.days import milliseconds

LINE = "12.8"
# A foreign host name that resolves to this machine.
_EVIL = "evil.test"
_BY = "stranger"
_KEPT, _INERT = "kept_by_its_owner", "made_inert"
_JSON = "application/json"
_WORKSPACE = """
{workspaceOrError{... on Workspace{locationEntries{name locationOrLoadError{
  ... on RepositoryLocation{repositories{name assetNodes{assetKey{path}}}}}}}}}
"""


def parts(full: bool) -> list[str]:
    """Return the names of the parts."""
    return ["other ports", "other names", "no origin", "rebinding", "asset pages", "unguarded"] if full else ["all"]


def run(part: str, seed: int, full: bool) -> Iterator[Figure]:  # noqa: ARG001  # nothing here is drawn by chance
    """Measure one part."""
    wanted = parts(full=True)[:-1] if part == "all" else [part]
    with deployed.dev() as dev, attack_page.serving() as stranger:
        if part == "asset pages":
            hostile_names.make_slow(dev, stranger.at("127.0.0.1"))
        rules = f"--host-resolver-rules=MAP {_EVIL} 127.0.0.1"
        with browser.chromium(dev.home.with_name("chromium"), rules) as chromium:
            trial = _Trial(dev, stranger, chromium)
            for origin in [origin for name in wanted for origin in trial.origins(name)][: None if full else 2]:
                yield trial.attacked(origin)
            if "no origin" in wanted:
                yield trial.followed()
            if "rebinding" in wanted:
                yield trial.rebound()
            if "asset pages" in wanted:
                pages = [(_INERT, "events")]
                if full:
                    hostile_names.wait_for_insights(dev)
                    pages += itertools.product(trial.assets, ("checks", "overview"))
                yield trial.rendered(pages)
            yield trial.used()
            yield trial.opened()
            if "unguarded" in wanted:
                yield trial.succeeded()


class _Trial:
    """One ``dev``, one hostile page, one browser."""

    def __init__(self, dev: Deployed, stranger: Stranger, chromium: Browser) -> None:
        self._dev, self._stranger, self._chromium = dev, stranger, chromium
        [entry] = dev.query(_WORKSPACE)["workspaceOrError"]["locationEntries"]
        [repository] = entry["locationOrLoadError"]["repositories"]
        self._location, self._repository = entry["name"], repository["name"]
        self.assets = sorted("/".join(node["assetKey"]["path"]) for node in repository["assetNodes"])
        self._ui = f"http://127.0.0.1:{dev.ui_port}"
        self._otlp = f"http://127.0.0.1:{dev.otlp_port}"

    def origins(self, part: str) -> list[str]:
        """Return the origins that attack in a part."""
        return {
            "other ports": [self._stranger.at("127.0.0.1")],
            "other names": [self._stranger.at("localhost"), self._stranger.at(_EVIL)],
            "no origin": [self._stranger.at("127.0.0.1") + SANDBOX],
        }.get(part, [])

    def attacked(self, address: str) -> Figure:
        """Run all attacks from a page."""
        self._keep()
        page = self._chromium.page()
        page.open(address)
        page.until("typeof attack === 'function'")
        tried = page.run(f"attack({json.dumps(self._targets(self._ui, self._otlp))})")
        read = [f"{one['what']}: {one['read'][:40]}" for one in tried if one["read"] is not None]
        answered = [one for one in page.answered if not one.url.startswith(address.removesuffix(SANDBOX))]
        served = sorted({f"{one.status} {one.url[:80]}" for one in answered if one.status < 400})
        harm = self._harm()
        whose = "no origin" if address.endswith(SANDBOX) else urllib.parse.urlsplit(address).hostname
        return Figure(
            LINE,
            f"a page of {whose} on another port tries {len(tried)} attacks in Chromium",
            "nothing read, nothing served, nothing changed",
            _listed(read, served, harm) or f"{len(answered)} answers, all refusals",
            len(tried) > 100 and len(answered) > 100 and not (read or served or harm),
        )

    def succeeded(self) -> Figure:
        """Attack Dagster's unguarded webserver, to show that the attacks can succeed."""
        self._keep()
        page = self._chromium.page()
        page.open(self._stranger.at("127.0.0.1"))
        page.until("typeof attack === 'function'")
        with deployed.unguarded(self._dev) as port:
            tried = page.run(f"attack({json.dumps(self._targets(f'http://127.0.0.1:{port}', self._otlp)[:1])})")
        read, harm = [one["what"].split()[0] for one in tried if one["read"] is not None], self._harm()
        return Figure(
            LINE,
            "the same page against `dagster-webserver`, which has no guard",
            "runs started, assets reported, an asset wiped, a subscription read",
            f"{', '.join(harm)}; read by {', '.join(sorted(set(read)))}",
            len(harm) == 3 and "socket" in read,
        )

    def followed(self) -> Figure:
        """Follow links from another origin to a UI page, a query and a log."""
        page, statuses = self._chromium.page(), []
        for path in ("/assets", _address_of(self._start(_BY)), "/logs/x.out"):
            page.open(self._stranger.at("localhost"))
            page.until("location.hostname === 'localhost' && document.readyState === 'complete'")
            page.statuses.clear()
            page.run(f"void (location.href = {json.dumps(self._ui + path)})")
            page.until(f"location.href.startsWith({json.dumps(self._ui)}) && document.readyState === 'complete'")
            statuses.append(next(one.status for one in page.answered if one.url == self._ui + path))
        harm = self._harm()
        return Figure(
            LINE,
            "links from a page of another origin: to a page of the UI, a query, a log",
            "200, 403, 403, nothing changed",
            ", ".join([*map(str, statuses), *harm]),
            statuses == [200, 403, 403] and not harm,
        )

    def rebound(self) -> Figure:
        """Run scripts in pages of our ports under a foreign host name, which is one origin to the browser."""
        self._keep()
        page = self._chromium.page()
        for place, port in enumerate((self._dev.ui_port, self._dev.otlp_port)):
            base = f"http://{_EVIL}:{port}"
            page.open(base + "/")
            page.until(f"location.origin === {json.dumps(base)} && document.readyState === 'complete'")
            target = self._targets(base, base)[place]
            for path in target["reads"]:
                page.run(f"fetch({json.dumps(path)}).then((one) => one.status)")
            for one in target["writes"]:
                options = {"method": "POST", "headers": {"content-type": one["type"]}, "body": one["body"]}
                page.run(f"fetch({json.dumps(one['path'])}, {json.dumps(options)}).then((one) => one.status)")
                page.run(f"fetch({json.dumps(one['path'])}).then((one) => one.status)")
        served = sorted({f"{one.status} {one.url[:80]}" for one in page.answered if one.status != 403})
        harm = self._harm()
        return Figure(
            LINE,
            f"scripts in pages of http://{_EVIL}, a name that resolves to our address (DNS rebinding)",
            "403 each time, nothing changed",
            _listed(served, harm) or f"403 for {len(page.answered)} requests",
            len(page.answered) > 15 and not (served or harm),
        )

    def rendered(self, pages: Sequence[tuple[str, str]]) -> Figure:
        """Show all Markdown on asset pages with hostile names, then on a page without escaping as a control."""
        self._keep()
        elsewhere, shown = [], 0
        page = self._chromium.page()
        for asset, view in pages:
            page.requested.clear()
            page.open(f"{self._ui}/assets/{asset}?view={view}")
            shown += hostile_names.show_markdown(page)
            elsewhere += [f"{asset}: {url}" for url in page.requested if not self._is_own(url)]
        elsewhere += self._stranger.asked
        page.open(f"{self._ui}/assets/{_KEPT}?view=events")
        hostile_names.show_markdown(page)
        is_seen = hostile_names.CONTROL in self._stranger.asked
        requests = " ".join([f"{len(elsewhere)} requests", *elsewhere[:3]])
        return Figure(
            LINE,
            f"{len(pages)} asset pages with names that look like images, links and HTML",
            "no request to another host, except for the picture of the control asset, which is not escaped",
            f"{shown} texts shown, {requests}; {int(is_seen)} for that picture",
            shown >= len(pages) / 3 and is_seen and not elsewhere,
        )

    def used(self) -> Figure:
        """Use the UI like a person: a button, a query, a subscription."""
        self._keep()
        page = self._chromium.page()
        page.open(f"{self._ui}/locations/{self._location}/jobs/{maintenance_job.name}/playground")
        page.until(_LAUNCH)
        run_id = page.until("location.pathname.startsWith('/runs/') && location.pathname.split('/')[2]")
        page.run(f"fetch('/graphql', {json.dumps(_posted(self._wipe()))}).then((one) => one.json())")
        streamed = page.run(_SUBSCRIBED % json.dumps(_events_of(run_id)))
        runs = self._dev.rows("SELECT count(*) FROM runs WHERE run_id = %s", run_id, of_dagster=True)[0][0]
        is_wiped, is_streamed = not self._is_kept(), "pipelineRunLogs" in streamed
        return Figure(
            LINE,
            "the UI's own pages: launch a run, wipe an asset, stream the events of the run",
            "each works",
            f"{runs} run launched, asset {'' if is_wiped else 'not '}wiped,"
            f" events {'' if is_streamed else 'not '}streamed",
            runs == 1 and is_wiped and is_streamed,
        )

    def opened(self) -> Figure:
        """Check that no other port is open."""
        names = {self._dev.ui_port: "UI", self._dev.otlp_port: "receiver"}
        found = self._dev.ports()
        return Figure(
            LINE,
            "TCP ports on which any process of `dev` listens",
            "UI and receiver, on 127.0.0.1",
            ", ".join(sorted(f"{names.get(port, port)} on {host}" for host, port in found)),
            found == {("127.0.0.1", port) for port in names},
        )

    def _targets(self, ui: str, otlp: str) -> list[dict]:
        """Return the targets: paths to read, and requests that would change something."""
        now = milliseconds(datetime.now(UTC)) * 10**6
        span = {"traceId": "1" * 32, "spanId": "1" * 16, "name": _BY, "startTimeUnixNano": str(now)}
        spans = {"resourceSpans": [{"scopeSpans": [{"spans": [span | {"endTimeUnixNano": str(now + 10**6)}]}]}]}
        return [
            {
                "base": ui,
                "reads": ["/", "/server_info", "/graphql?query={version}", "/logs/x.out", "/favicon.svg"],
                "writes": [
                    *(_write(_address_of(query), {"query": query}) for query in (self._start(_BY), self._wipe())),
                    _write(f"/report_asset_materialization/{_BY}", {"description": "by a stranger"}),
                ],
                "query": _events_of("none"),
            },
            {
                "base": otlp,
                "reads": ["/metrics", "/healthz", "/readyz"],
                "writes": [_write("/v1/traces", spans), _write("/v1/logs", {"resourceLogs": []})],
            },
        ]

    def _start(self, by: str) -> str:
        """Return a query that starts a run tagged ``by``."""
        places = {"repositoryLocationName": self._location, "repositoryName": self._repository}
        selector = ",".join(f'{key}:"{value}"' for key, value in {**places, "jobName": maintenance_job.name}.items())
        tags = f'executionMetadata:{{tags:[{{key:"by",value:"{by}"}}]}}'
        return f'mutation{{launchRun(executionParams:{{selector:{{{selector}}},mode:"default",{tags}}}){{__typename}}}}'

    def _wipe(self) -> str:
        return f'mutation{{wipeAssets(assetPartitionRanges:[{{assetKey:{{path:["{_KEPT}"]}}}}]){{__typename}}}}'

    def _keep(self) -> None:
        """Create the asset that the page tries to wipe, which shows its picture, and one with escaped names."""
        if not self._is_kept():
            origin = self._stranger.at("127.0.0.1")
            inert = "\n\n".join(map(markdown, hostile_names.names(origin)))
            hostile_names.report(self._dev, {_KEPT: f"![x]({origin}{hostile_names.CONTROL})", _INERT: inert})

    def _is_kept(self) -> bool:
        sql = (
            "SELECT count(*) FROM asset_keys WHERE asset_key LIKE %s"
            " AND (wipe_timestamp IS NULL OR last_materialization_timestamp > wipe_timestamp)"
        )
        return self._dev.rows(sql, f"%{_KEPT}%", of_dagster=True)[0][0] == 1

    def _harm(self) -> list[str]:
        """Return what the attacks changed."""
        runs = self._dev.rows("SELECT count(*) FROM run_tags WHERE key = 'by'", of_dagster=True)[0][0]
        assets = self._dev.rows("SELECT count(*) FROM asset_keys WHERE asset_key LIKE %s", f"%{_BY}%", of_dagster=True)
        spans = self._dev.rows("SELECT count(*) FROM workflow_trace_log WHERE span_name = %s", _BY)[0][0]
        done = {"runs started": runs, "assets reported": assets[0][0], "spans stored": spans}
        return [
            *(f"{count} {what}" for what, count in done.items() if count),
            *([] if self._is_kept() else ["an asset wiped"]),
        ]

    def _is_own(self, url: str) -> bool:
        """Tell whether a request of a UI page stays on the UI."""
        return url.startswith((self._ui, self._ui.replace("http", "ws"), "data:", "blob:", "about:"))


_LAUNCH = """
(() => {
  const found = [...document.querySelectorAll('button')].find((one) => /^launch run$/i.test(one.innerText.trim()));
  return found && !found.disabled && (found.click(), true);
})()
"""
_SUBSCRIBED = """
new Promise((resolve, reject) => {
  const socket = new WebSocket(location.origin.replace('http', 'ws') + '/graphql', 'graphql-ws');
  socket.onopen = () => {
    socket.send(JSON.stringify({type: 'connection_init'}));
    socket.send(JSON.stringify({type: 'start', id: '1', payload: {query: %s}}));
  };
  socket.onmessage = (event) => JSON.parse(event.data).type === 'data' && resolve(event.data);
  socket.onerror = reject;
})
"""


def _events_of(run_id: str) -> str:
    return f'subscription{{pipelineRunLogs(runId:"{run_id}"){{__typename}}}}'


def _address_of(query: str) -> str:
    return f"/graphql?query={urllib.parse.quote(query)}"


def _write(path: str, body: dict) -> dict:
    return {"path": path, "body": json.dumps(body), "type": _JSON}


def _posted(query: str) -> dict:
    return {"method": "POST", "headers": {"content-type": _JSON}, "body": json.dumps({"query": query})}


def _listed(*findings: Sequence[str]) -> str:
    return "; ".join(what for found in findings for what in found)[:600]
