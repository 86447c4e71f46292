"""Who may see the dashboard, and who may act on it.

Belongs here: tokens, the cookie that stands for one, the token of forms. Does not: routes (app), which origins
and hosts are accepted (the guard).

On loopback without tokens, everybody may do everything. Otherwise a client gives the read token or the act token, once
in a form, or as `Authorization: Bearer` with each request. The token of spans (ingest) opens no page.
"""

import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass

from starlette.requests import HTTPConnection
from starlette.responses import Response

from leo_telemetry_pipeline.settings import Settings

COOKIE = "leo_telemetry"
_LASTS_S = 30 * 86_400
READ, ACT = "read", "act"


@dataclass(frozen=True)
class Rights:
    """What a client may do. ``form_token``: what its forms must repeat, unknown to pages of other origins."""

    may_read: bool
    may_act: bool
    form_token: str


class Access:
    """Decides by the tokens of the settings; ``is_local``: only this machine can connect."""

    def __init__(self, settings: Settings, *, is_local: bool) -> None:
        self.read_token = settings.serve_read_token
        self.act_token = settings.serve_act_token
        self.is_local = is_local
        self._key = secrets.token_bytes(32)

    @property
    def needs_token(self) -> bool:
        """Whether a client must give a token."""
        return bool(self.read_token or self.act_token) or not self.is_local

    @property
    def is_closed(self) -> bool:
        """Whether nobody may read, since other machines can connect and no token is set."""
        return not (self.is_local or self.read_token or self.act_token)

    def rights(self, connection: HTTPConnection) -> Rights:
        """Return what the client of a request may do."""
        cookie = connection.cookies.get(COOKIE, "")
        form_token = hmac.new(self._key, cookie.encode(), hashlib.sha256).hexdigest()
        if not self.needs_token:
            return Rights(may_read=True, may_act=True, form_token=form_token)
        role = self.role_of(_bearer(connection)) or self._role_of_cookie(cookie)
        return Rights(may_read=role is not None, may_act=role == ACT, form_token=form_token)

    def role_of(self, token: str) -> str | None:
        """Return the role of a token, None if it is not one of ours."""
        for role, known in ((ACT, self.act_token), (READ, self.read_token)):
            if known and hmac.compare_digest(token.encode(), known.encode()):
                return role
        return None

    def remember(self, response: Response, role: str, *, is_https: bool) -> None:
        """Set the cookie of a role; it ends when the token changes."""
        until = int(time.time()) + _LASTS_S
        value = f"{role}.{until}.{self._signed(role, until)}"
        response.set_cookie(COOKIE, value, max_age=_LASTS_S, httponly=True, samesite="lax", secure=is_https)

    def _role_of_cookie(self, cookie: str) -> str | None:
        role, _, rest = cookie.partition(".")
        until, _, signature = rest.partition(".")
        if role not in (READ, ACT) or not until.isascii() or not until.isdigit() or len(until) > 12:
            return None
        known = bool(self.act_token if role == ACT else self.read_token)
        is_ours = hmac.compare_digest(signature.encode(), self._signed(role, int(until)).encode())
        return role if known and is_ours and int(until) > time.time() else None

    def _signed(self, role: str, until: int) -> str:
        token = self.act_token if role == ACT else self.read_token
        return hmac.new(token.encode(), f"{role}.{until}".encode(), hashlib.sha256).hexdigest()


def _bearer(connection: HTTPConnection) -> str:
    scheme, _, given = connection.headers.get("authorization", "").partition(" ")
    return given.strip() if scheme.lower() == "bearer" else ""
