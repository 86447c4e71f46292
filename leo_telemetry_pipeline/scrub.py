r"""What a secret looks like in text, and its removal.

Belongs here: the marks, shapes and names of secrets, for every text that is stored or shown.
Does not: which attributes may be kept at all, or how long a text may be (redact).
Imported by the program that is measured, so expressions are compiled with the first text that needs them.

Every kind of secret has a marker, a few letters without which it cannot be. One search for all markers
passes nearly every text; a kind's own expression runs only where its marker stands. Every repetition that
could meet itself is bounded, so that no text takes longer than its length allows.
"""

MARK = "[redacted]"
# From this length on, a text may hold a secret that nothing announces: random letters only.
LONG = 34

# Neither a letter nor a digit before it, unless they end an escape: \n, \u003d, %3D.
_START = r"(?:(?<![A-Za-z0-9])|(?<=\\[bfnrt])|(?<=\\u[0-9a-fA-F]{4})|(?<=%[0-9a-fA-F]{2}))"
_PEM_END = r".*?(?:-----END[ +_%0-9A-Z]{1,60}-----|\Z)"
# Markers in lower case, and what is to be replaced where one of them stands.
_KINDS = (
    ("-----begin", r"(?s:-----BEGIN[ +_%0-9A-Z]{0,60}PRIVATE[ +_%0-9A-Z]{1,60}-----" + _PEM_END + ")"),
    ("putty-user-key", r"(?s:PuTTY-User-Key-File.*?(?:Private-MAC: ?[0-9a-f]{1,128}|\Z))"),
    ("akia asia abia", r"(?:AKIA|ASIA|ABIA)[A-Z0-9]{12,}"),
    ("ghp_ gho_ ghu_ ghs_ ghr_ github_pat_", r"(?:gh[opusr]|github_pat)_[A-Za-z0-9_]{16,}"),
    ("glpat- gldt- glrt- glptt- glcbt- glft- glsoat-", r"gl(?:pat|dt|rt|ptt|cbt|ft|soat)-[\w.-]{16,}"),
    ("xox xapp- xwfp-", r"(?:xox[a-z](?:\.xox[a-z])?|xapp|xwfp)-[\w-]{8,}"),
    (
        "hooks.slack.com /api/webhooks/ webhook.office.com",
        r"(?<=hooks\.slack\.com)/[\w/+-]+|(?<=/api/webhooks/)[\w/-]+|(?<=webhook\.office\.com)/[\w/@-]+",
    ),
    ("k_live_ k_test_", _START + r"[srp]k_(?:live|test)_[A-Za-z0-9]{8,}"),
    ("whsec_", r"whsec_[\w+/=-]{16,}"),
    ("sk-", _START + r"sk-(?=[\w-]{0,99}[0-9A-Z])[\w-]{16,}"),
    ("aiza gocspx- 1//0", r"AIza[\w-]{30,}|GOCSPX-[\w-]{16,}|" + _START + r"1//0[\w-]{30,}"),
    ("ya29.", r"ya29\.[\w.-]{10,}"),
    ("eyj", r"eyJ[\w-]{10,}(?:\.[\w-]*){0,4}"),
    ("npm_ hf_ gsk_ r8_", _START + r"(?:npm|hf|gsk|r8)_[A-Za-z0-9]{28,}"),
    ("pypi- dckr_pat_", r"pypi-Ag[\w-]{16,}|pypi-[A-Za-z0-9_]{40,}|dckr_pat_[\w-]{16,}"),
    ("sg.", _START + r"SG\.[\w-]{16,}\.[\w-]{16,}"),
    ("dapi", _START + r"dapi[0-9a-fA-F]{28,}(?:-\d{1,2})?"),
    ("hvs. hvb. hvr.", _START + r"hv[sbr]\.[\w-]{16,}"),
    ("dop_v1_ doo_v1_ dor_v1_", r"do[por]_v1_[0-9a-fA-F]{32,}"),
    ("shpat_ shpca_ shppa_ shpss_", r"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{16,}"),
    ("lin_api_ lin_oauth_", r"lin_(?:api|oauth)_[A-Za-z0-9]{16,}"),
    ("glsa_ glc_ sntrys_ figd_ pmak- tskey-", _START + r"(?:glsa_|glc_|sntrys_|figd_|PMAK-|tskey-)[\w+/=-]{20,}"),
    ("age-secret-key-", r"(?i:AGE-SECRET-KEY-1)[A-Za-z0-9]{16,}"),
    (":a", r"(?<!\d)\d{6,12}:A[\w-]{30,}"),
    # Ordinary words follow "bearer" and "basic" too: a token has a digit, or capitals inside.
    (
        "bearer basic",
        r"(?P<keep>(?i:\b(?:bearer|basic)(?:\s{1,9}|\+|%20)))(?=[\w.~+/=-]{0,500}(?:[0-9=]|[a-z][A-Z]))[\w.~+/-]{8,}={0,2}",
    ),
    # A port and a path before an @ are no user and password.
    (
        "://",
        r"(?<=://)(?:(?![^\s:/@]{0,99}:\d{1,5}/)[^\s/:@]{0,99}:(?!//)(?:(?!://)[^\s\"'<>]){1,128}|[^\s/?#\"'<>]{1,512})(?=@)",
    ),
    (r":\/\/", r"(?<=:\\/\\/)[^\s/?#\"'<>]{1,512}(?=@)"),
    (
        "signature= sig=",
        r"(?P<keep>(?i:(?<![A-Za-z0-9])(?:(?:x-[a-z]{1,9}-)?signature|sig)=))[^\s&;\"'<>\\…\[][^\s&;\"'<>\\]*",
    ),
    ("_auth=", r"(?P<keep>_auth=)[^\s…\[][^\s\"']*"),
    ("login", r"(?P<keep>(?i:login\s{1,9}\S{1,100}\s{1,9}password\s{1,9}))[^\s…\[]\S*"),
    (
        "-u --user --proxy-user",
        r"(?P<keep>(?<![\w-])(?:-u|--user|--proxy-user)[ =]{1,2}[\"']?)(?!\d+:\d)[^\s:\"'…\[]{1,99}:[^\s\"'/…]\S*",
    ),
)
# Names of things that hold a secret; "_" is any separator or none.
_NAMES = (
    *("password", "passwd", "passphrase", "passcode", "pass_word", "pwd", "secret", "token", "credential", "cookie"),
    *("authorization", "basic_auth", "jwt", "jsession", "phpsess", "access_signature", "db_pass", "smtp_pass"),
    *("api_key", "access_key", "private_key", "account_key", "auth_key", "encryption_key", "signing_key", "app_key"),
    *("master_key", "shared_key", "ssh_key", "storage_key", "license_key", "hmac_key", "deploy_key", "consumer_key"),
    *("application_key", "subscription_key", "functions_key", "service_key", "client_key", "admin_key", "webhook_key"),
)
_PLAIN_NAMES = tuple(name.replace("_", "") for name in _NAMES)
# Tokens of a language model are counted; tokens of these kinds are secrets however many there are.
_SECRET_TOKENS = tuple(f"{kind}token" for kind in ("access", "auth", "refresh", "api", "bearer", "session", "csrf"))
_COUNTED = "tokens tokeniz tokenb inputtoken outputtoken maxtoken mintoken numtoken firsttoken pertoken lasttoken"
_COUNTED_TOKENS = tuple(_COUNTED.split())
# What such a name may end with, and then is about the secret rather than the secret itself.
_ABOUT = (
    "count type name names url uri endpoint length len limit budget usage used size expiry expires expiresin expiresat"
    " ttl age version policy status required enabled present file path bucket price cost rate ms seconds hint source"
    " method score valid error format index position kind provider"
)
_ABOUT_ENDS = tuple(_ABOUT.split())
_ASKING = ("has_", "is_", "needs_", "num_", "has-", "is-", "needs-")
_NO_VALUES = frozenset(("null", "none", "nil", "true", "false", "undefined", "nan"))

_tools: "_Tools | None" = None


def scrub(text: str, *, keep_emails: bool = False) -> str:
    """Return the text with ``[redacted]`` in place of each secret in it; the same object where there is none."""
    tools = _tools or _make_tools()
    for _ in range(3):  # What stands around a secret may look like one as soon as that one is gone.
        before, text = text, tools.once(text, keep_emails)
        if before == text:
            return before
    return text


def is_suspicious(text: str) -> bool:
    """Say whether the text has a marker of any kind; without one, and shorter than LONG, it holds no secret."""
    return (_tools or _make_tools()).marker(text.lower()) is not None


def names_secret(key: str) -> bool:
    """Say whether what is stored under this key is a secret: ``api_key``, ``X-Auth-Token``, not ``max_tokens``."""
    lowered = key.lower()
    name = "".join(filter(str.isalnum, lowered))
    if name == "auth":
        return True
    if not any(part in name for part in _PLAIN_NAMES) or name.endswith(_ABOUT_ENDS) or lowered.startswith(_ASKING):
        return False
    if not any(part in name for part in _SECRET_TOKENS):
        for counted in _COUNTED_TOKENS:
            name = name.replace(counted, "")
    return any(part in name for part in _PLAIN_NAMES)


class _Tools:
    """The compiled expressions, and the walk through a text with them."""

    def __init__(self) -> None:
        import re

        names = [(name[0], name[1:].replace("_", r"[_.\- ]?")) for name in _NAMES]
        shapes = ((marks.split(), re.compile(shape)) for marks, shape in _KINDS)
        self.kinds = [(marks, shape, (r"\g<keep>" if shape.groups else "") + MARK) for marks, shape in shapes]
        # What may stand between a name and its value: = and : with quotes, escaped or not, an attribute of
        # OTLP/JSON, an element of XML; behind a command line's option a space will do.
        self.named = re.compile(
            rf"(?i:{_by_first_letter(names, re.escape)})[\w.-]{{0,40}}+(?P<between>"
            r"\\{0,8}+[\"'`]?\s{0,9},\s{0,9}\\{0,8}+\"value\\{0,8}+\"\s{0,9}:\s{0,9}"
            r"(?:\{\s{0,9}\\{0,8}+\"\w{1,20}\\{0,8}+\"\s{0,9}:\s{0,9})?"
            r"|\\{0,8}+[\"'`]?\]?[ \t]{0,9}(?:=>|:=|={1,2}|:|%3[dD])\s{0,9}"
            r"|>(?=[^<>]{1,256}</)|[ \t]{1,9})"
        )
        self.head = re.compile(r"[\w.-]{0,64}\Z")
        self.quoted = re.compile(r"(?s:(\\{0,8}[\"'`])(.*?)(?:(?<!\\)\1|\Z))")
        self.brackets = re.compile(r"[\[{}\]]")
        self.word = re.compile(r"(?:(?i:bearer|basic|token|digest)[ +])?(?:[^\s\"'`&;<>\\]|\\(?![\"'nrtu]))+")
        self.line = re.compile(r"(?:[^\r\n\"'\\]|(?<==)\"[^\"\r\n]*\"|\\(?![\"'nr]))+")
        self.email = re.compile(
            r"(?<![\w.+-])[\w.+-]++(?<!^git)(?<![\s\"'=]git)(?:@|%40|\\u0040)(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,24}"
        )
        self.run = re.compile(r"[A-Za-z0-9+/_-]{40,}={0,2}")
        self.twilio = re.compile(_START + r"(?:SK|AC)[0-9a-f]{32}(?![A-Za-z0-9])")
        self.discord = re.compile(_START + r"[MNO][\w-]{23,27}\.[\w-]{6}\.[\w-]{27,}")
        self.changes = re.compile(r"[a-z](?=[A-Z0-9])|[A-Z](?=[a-z0-9])|[0-9](?=[A-Za-z])")
        marks = {"@", "%40", r"\u0040", *(mark for marks, *_ in self.kinds for mark in marks)}
        marks_and_names = [*((mark[0], re.escape(mark[1:])) for mark in marks), *names]
        self.marker = re.compile(_by_first_letter(marks_and_names, re.escape)).search

    def once(self, text: str, keep_emails: bool) -> str:
        """Return the text after one look for every kind."""
        lowered = text.lower()
        if self.marker(lowered):
            for marks, shape, mark in self.kinds:
                if any(map(lowered.__contains__, marks)):
                    text = shape.sub(mark, text)
            if not keep_emails and ("@" in text or "40" in text):
                text = self.email.sub(MARK, text)
            text = self._named_values(text)
        if len(text) >= LONG:
            text = self.run.sub(self._judge_run, self.discord.sub(MARK, self.twilio.sub(MARK, text)))
        return text

    def _named_values(self, text: str) -> str:
        parts, copied, position = [], 0, 0
        while found := self.named.search(text, position):
            position = found.end()
            key = self.head.search(text, max(0, found.start() - 64), found.start())[0]  # type: ignore[index]
            key += text[found.start() : found.start("between")]
            is_option = found["between"].isspace()
            if (is_option and not key.startswith("-")) or not names_secret(key):
                continue
            start, end = self._value(text, position, key.lower(), is_option)
            if start < end:
                parts += text[copied:start], MARK
                copied = position = end
        return "".join((*parts, text[copied:])) if parts else text

    def _value(self, text: str, at: int, key: str, is_option: bool) -> tuple[int, int]:
        # Where the value that begins here stands; nothing for what is no value, or was redacted already.
        if text.startswith((MARK, "…"), at) or (is_option and text.startswith("-", at)):
            return at, at
        if quoted := self.quoted.match(text, at):
            inner = quoted[2]
            return (at, at) if inner.startswith((MARK, "…")) or not inner else quoted.span(2)
        if text.startswith(("[", "{"), at):
            return at, self._closing(text, at)
        whole_line = "authorization" in key or "cookie" in key
        found = (self.line if whole_line else self.word).match(text, at)
        value = found[0].rstrip(" ,.)}]") if found else ""
        value += "]" if value.endswith(MARK[:-1]) else ""
        is_folder = key.endswith("pwd") and value.startswith(("/", "~"))
        return (at, at) if value.lower() in _NO_VALUES or is_folder else (at, at + len(value))

    def _closing(self, text: str, at: int) -> int:
        depth = 0
        for bracket in self.brackets.finditer(text, at):
            depth += 1 if bracket[0] in "[{" else -1
            if depth == 0:
                return bracket.end()
        return len(text)

    def _judge_run(self, run) -> str:
        # Random letters change between small, capital and digit at two places of three; words, names and paths
        # seldom, and hex ids have no capitals.
        text = run[0]
        size = len(text)
        capitals, small = sum(map(str.isupper, text)), sum(map(str.islower, text))
        is_path = text.startswith("/") or text.count("/") * 10 > size
        if is_path or min(capitals, small) * 7 < size or len(self.changes.findall(text)) * 20 < size * 9:
            return text
        return MARK


def _by_first_letter(words: list[tuple[str, str]], escape) -> str:
    # An expression with one branch a first letter is searched twice as fast as one with a branch a word.
    tails: dict[str, list[str]] = {}
    for letter, tail in words:
        tails.setdefault(letter, []).append(tail)
    return "|".join(f"{escape(letter)}(?:{'|'.join(rest)})" for letter, rest in tails.items())


def _make_tools() -> _Tools:
    global _tools
    _tools = _Tools()
    return _tools
