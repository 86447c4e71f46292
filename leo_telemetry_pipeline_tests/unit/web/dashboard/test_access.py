"""Who may see the dashboard, and who may act."""

from collections.abc import Mapping
from http.cookies import SimpleCookie

import pytest
from starlette.requests import HTTPConnection
from starlette.responses import Response

from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.web.dashboard.access import ACT, COOKIE, READ, Access, Rights

READER, ACTOR, INGEST = "LEO_TELEMETRY_SERVE_READ_TOKEN", "LEO_TELEMETRY_SERVE_ACT_TOKEN", "LEO_TELEMETRY_SERVE_TOKEN"


def access(environ: Mapping[str, str], *, is_local: bool = False) -> Access:
    return Access(Settings({"LEO_TELEMETRY_HOME": "/nowhere", **environ}), is_local=is_local)


def asking(**headers: str) -> HTTPConnection:
    sent = [(name.encode(), value.encode()) for name, value in headers.items()]
    return HTTPConnection({"type": "http", "headers": sent})


def may(rights: Rights) -> str:
    return "act" if rights.may_act else "read" if rights.may_read else "nothing"


def cookie_of(of: Access, role: str) -> str:
    response = Response()
    of.remember(response, role, is_https=True)
    header = response.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=lax", "Secure"} <= {part.strip() for part in header.split(";")}
    return f"{COOKIE}={SimpleCookie(header)[COOKIE].value}"


def test_on_this_machine_everybody_may_act_without_a_token():
    """Lost: a login on one's own laptop."""
    assert may(access({}, is_local=True).rights(asking())) == "act"
    assert may(access({INGEST: "i"}, is_local=True).rights(asking())) == "act"


@pytest.mark.parametrize(
    ("given", "allowed"), [("r", "read"), ("a", "act"), ("i", "nothing"), ("", "nothing"), ("ra", "nothing")]
)
@pytest.mark.parametrize("is_local", [True, False])
def test_each_token_opens_what_it_is_for(given: str, allowed: str, is_local: bool):
    """Lost: a sender of spans could dismiss items, or read everything."""
    of = access({READER: "r", ACTOR: "a", INGEST: "i"}, is_local=is_local)
    assert may(of.rights(asking(authorization=f"Bearer {given}"))) == allowed


def test_without_tokens_other_machines_see_nothing():
    """Lost: a dashboard that a whole network reads because one option was forgotten."""
    of = access({INGEST: "i"})
    assert of.is_closed
    assert may(of.rights(asking(authorization="Bearer "))) == "nothing"


def test_a_cookie_stands_for_its_token_until_that_changes():
    """Lost: people type a token for each page; or a token that was changed still opens the dashboard."""
    of = access({READER: "r", ACTOR: "a"})
    reader, actor = cookie_of(of, READ), cookie_of(of, ACT)
    assert may(of.rights(asking(cookie=reader))) == "read"
    assert may(of.rights(asking(cookie=actor))) == "act"
    changed = access({READER: "r", ACTOR: "b"})
    assert may(changed.rights(asking(cookie=reader))) == "read"
    assert may(changed.rights(asking(cookie=actor))) == "nothing"
    assert may(access({READER: "r"}).rights(asking(cookie=actor))) == "nothing"


@pytest.mark.parametrize("forged", ["read", "act.", "act.9999999999.", "act.٣.x", "admin.9999999999.x", "read.1.x"])
def test_a_forged_cookie_opens_nothing(forged: str):
    """Lost: anybody makes a cookie of their own."""
    of = access({READER: "r", ACTOR: "a"})
    sent = [(b"cookie", f"{COOKIE}={forged}".encode())]
    assert may(of.rights(HTTPConnection({"type": "http", "headers": sent}))) == "nothing"


def test_the_role_in_a_cookie_is_signed():
    """Lost: a reader changes one word of the cookie and may act."""
    of = access({READER: "r", ACTOR: "a"})
    assert may(of.rights(asking(cookie=cookie_of(of, READ).replace("read.", "act.")))) == "nothing"


def test_forms_of_another_session_are_not_ours():
    """Lost: a page of another origin sends a form in the name of its reader."""
    of = access({READER: "r", ACTOR: "a"})
    tokens = {of.rights(asking()).form_token, of.rights(asking(cookie=cookie_of(of, ACT))).form_token}
    assert len(tokens) == 2
    assert access({}, is_local=True).rights(asking()).form_token not in tokens
