"""Fake secrets of many kinds, for planting into every text input.

``SECRETS`` has a text per kind, as it may appear in a name, a message or a value; ``PLAIN`` has the part of it that
must not be found anywhere afterwards. They are concatenated from pieces, because secret scanners of repositories cannot
know that they are fake.
"""

_LETTERS = "Zx7Kq2Lm9Rt4Vb6Nw1Yc8Hd3Jf5Gs0PoUiEaTvBkXzQrMnCw"
_HEX = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_DIGITS = "918273645012"


def _letters(count: int) -> str:
    return _LETTERS[:count]


def _jwt() -> str:
    return ".".join(("ey" + "JhbGciOiJIUzI1NiJ9", "ey" + "JzdWIiOiIxMjM0NTY3ODkwIn0", _letters(43)))


def _pem(kind: str, newline: str = "\n") -> tuple[str, str]:
    body = newline.join(("MIIEvQIBADANBgkqhkiG" + _letters(40), _letters(30)))
    return f"-----BEGIN {kind}-----{newline}{body}{newline}-----END {kind}-----", _letters(30)


_AWS_SECRET = "wJalrXUtnFEMI/K7MDENG/" + "bPxRfiCYZ9q2LmT4xQ"

# Kind: the text that contains the secret, and the secret alone.
_PAIRS: dict[str, tuple[str, str]] = {
    kind: (text.replace("{}", secret), secret)
    for kind, (text, secret) in {
        "AWS access key id": ("uses {} for S3", "AK" + "IA" + "Q3EXWB7LPTZ5N2VK"),
        "AWS temporary key id": ("{}", "AS" + "IA" + "Q3EXWB7LPTZ5N2VK"),
        "AWS secret key, named": ("aws_secret_access_key = {}", _AWS_SECRET),
        "AWS secret key, alone": ("{}", _AWS_SECRET),
        "GitHub personal token": ("push with {} failed", "gh" + "p_" + _letters(36)),
        "GitHub OAuth token": ("{}", "gh" + "o_" + _letters(36)),
        "GitHub user token": ("{}", "gh" + "u_" + _letters(36)),
        "GitHub server token": ("x-access:{}", "gh" + "s_" + _letters(36)),
        "GitHub refresh token": ("{}", "gh" + "r_" + _letters(36)),
        "GitHub fine-grained token": ("{}", "github" + "_pat_" + _letters(22) + "_" + _letters(40)),
        "GitLab token": ("clone with {}", "gl" + "pat-" + _letters(20)),
        "Slack bot token": ("{}", "xo" + "xb-" + _DIGITS + "-" + _letters(24)),
        "Slack webhook": ("https://hooks.slack.com{}", "/services/T0AB12CD3/B0EF45GH6/" + _letters(24)),
        "Stripe key": ("charge: {}", "sk" + "_live_" + _letters(24)),
        "OpenAI key": ("{}", "sk" + "-" + _letters(48)),
        "OpenAI project key": ("401 for {}.", "sk" + "-proj-" + _letters(40)),
        "Anthropic key": ("{}", "sk" + "-ant-api03-" + _letters(44)),
        "Google API key": ("maps?key={}", "AI" + "za" + _letters(35)),
        "Google OAuth token": ("{}", "ya" + "29." + _letters(40)),
        "Google client secret": ("{}", "GOC" + "SPX-" + _letters(28)),
        "JWT": ("sent {} twice", _jwt()),
        "bearer token": ("Authorization: Bearer {}", _letters(20)),
        "bearer token, alone": ("got bearer {} from", _letters(12)),
        "basic credentials": ("Authorization: Basic {}", "YWxpY2U6aHVudGVy" + "Mg=="),
        "URL with credentials": ("https://{}@git.example.com/x.git", "alice:" + "hunter2!"),
        "connection string": ("postgresql://{}@db:5432/app", "app:" + "p@ss/w0rd"),
        "Redis URL": ("redis://{}@cache:6379/0", ":" + "hunter2"),
        "keyword connection string": ("Server=db;Uid=sa;Pwd={};Encrypt=true", "hun" + "ter2"),
        "signed S3 URL": ("https://b.s3.amazonaws.com/o?X-Amz-Expires=60&X-Amz-Signature={}", _HEX),
        "Azure signature": ("https://a.blob.core.windows.net/c?sv=2024&sig={}&se=2026", _letters(30) + "%3D"),
        "Azure account key": ("AccountName=a;AccountKey={};Suffix=x", _letters(44) + "=="),
        "Azure shared access signature": ("SharedAccessSignature={}", "sr%3D" + _letters(20)),
        "token in a URL": ("GET /v1/me?access_token={}&page=2", _letters(18)),
        "e-mail address": ("asked by {} today", "alice.o-neil+x@" + "mail.example.co.uk"),
        "e-mail address in a URL": ("/users/{}/edit", "alice%40" + "example.com"),
        "npm token": ("//registry/:_authToken={}", "np" + "m_" + _letters(36)),
        "PyPI token": ("{}", "py" + "pi-AgEIcHlwaS5vcmc" + _letters(40)),
        "SendGrid key": ("{}", "S" + "G." + _letters(22) + "." + _letters(43)),
        "Twilio key": ("sms via {}", "S" + "K" + _HEX[:32]),
        "Databricks token": ("{}", "da" + "pi" + _HEX[:32]),
        "Hugging Face token": ("{}", "h" + "f_" + _letters(34)),
        "Telegram bot token": ("https://api.telegram.org/bot{}/getMe", "110201543" + ":A" + _letters(34)),
        "Discord bot token": ("{}", "MTk4NjIyNDgzNDcxOTI1MjQ4" + ".Cl2FMQ." + _letters(27)),
        "Discord webhook": ("https://discord.com/api/webhooks/{}", _DIGITS + "/" + _letters(40)),
        "Vault token": ("{}", "hv" + "s." + _letters(24)),
        "DigitalOcean token": ("{}", "do" + "p_v1_" + _HEX),
        "Shopify token": ("{}", "shp" + "at_" + _HEX[:32]),
        "Linear key": ("{}", "lin" + "_api_" + _letters(40)),
        "age key": ("{}", "AGE-SECRET" + "-KEY-1" + _letters(40).upper()),
        "password": ("login failed: password={}", "hun" + "ter2"),
        "password with a colon": ("passwd: {}", "hun" + "ter2,(x)!"),
        "environment variable": ("PGPASSWORD={} psql -h db", "hun" + "ter2"),
        "API key in JSON": ('{"api_key": "{}", "n": 1}', "hun" + "ter2 x"),
        "API key in single quotes": ("{'apiKey': '{}', 'n': 1}", "hun" + "ter2 x"),
        "password in JSON text inside JSON": (r'{"body": "{\"password\": \"{}\", \"n\": 1}"}', "hun" + "ter2"),
        "attribute of OTLP/JSON": ('{"key":"db.password","value":{"stringValue":"{}"}}', "hun" + "ter2"),
        "nested secrets in JSON": ('{"secrets": {"a": {"b": 1}, "c": "{}"}}', "hun" + "ter2"),
        "XML element": ("<user>x</user><password>{}</password>", "hun" + "ter2"),
        "client secret": ("client_secret={}&grant=x", _letters(10)),
        "token": ("token={}", _letters(10)),
        "header of a key": ("X-Api-Key: {}", _letters(10)),
        "cookie": ("Cookie: {}", "sid=" + "abc" + '; theme="d1"; u=' + "77"),
        "set-cookie": ("Set-Cookie: {}", "sid=" + "hunter2; Path=/"),
        "header on a command line": ("curl -H 'Authorization: token {}' https://x", _letters(12)),
        "option on a command line": ("deploy --db-password {} --force", "hun" + "ter2"),
        "quoted option": ('deploy --token "{}" --force', "hun" + "ter2 x"),
        "user of curl": ("curl -u {} https://x", "alice:" + "hunter2"),
        "netrc": ("machine h login alice password {}", "hun" + "ter2"),
        "npmrc": ("//registry/:_auth={}", "YWxpY2U6" + "aHVudGVyMg"),
        "AWS secret key, more slashes": ("{}", "vT9x/Kq2Lm9Rt4Vb/6Nw1Yc8Hd3J" + "f5Gs0PoUi/aB3"),
        "bearer token behind a colon": ("Bearer: {}", "abcDEF" + "123456"),
        "URL with credentials, escaped": ("next=postgres%3a%2f%2fadmin%3a{}%40db", "Hun" + "ter22"),
        "JSON in a URL": ("/x?state=%7B%22password%22%3A%22{}%22%7D", "Hun" + "ter22"),
        "header in a URL": ("Authorization%3A%20Bearer%20{}", "abcDEF" + "123456789"),
        "password, escaped twice": ("password%253D{}", "Hun" + "ter22"),
        "password in SQL": ("ALTER ROLE app PASSWORD '{}'", "Hun" + "ter22"),
        "password of a user in SQL": ("CREATE USER app IDENTIFIED BY '{}'", "Hun" + "ter22"),
        "bytes in Python": ("{b'password': b'{}'}", "Hun" + "ter22"),
        "pairs in Python": ("[('password', '{}'), ('n', 1)]", "Hun" + "ter22"),
        "arguments in JSON": ('["cmd", "--password", "{}"]', "Hun" + "ter22"),
        "arguments in Python": ("['cmd', '--password', '{}']", "Hun" + "ter22"),
        "pair in JSON": ('[["x-api-key","{}"]]', "Hun" + "ter22"),
        "name and value in JSON": ('{"Name": "DB_PASSWORD", "Value": "{}"}', "Hun" + "ter22"),
        "key and text value in JSON": ('{"key": "password", "stringValue": "{}"}', "Hun" + "ter22"),
        "short name of a password": ("DB_PW={}", "Hun" + "ter22"),
        "shorter name of a password": ("pass: {}", "Hun" + "ter22"),
        "password for MySQL": ("mysql -h db -p{} app", "Hun" + "ter22"),
        "password for ssh": ("sshpass -p {} ssh a", "Hun" + "ter22"),
        "password for Redis": ("redis-cli -h a -a {} ping", "Hun" + "ter22"),
        "user of curl, without a space": ("curl -u{} x", "admin:" + "Hunter22"),
        "data source of Go": ("admin:{}@tcp(db:3306)/app", "Hun" + "ter22"),
        "key of Rails": ("SECRET_KEY_BASE={}", "hun" + "ter2"),
    }.items()
}
for _kind, _type, _newline in (
    ("private key", "PRIVATE KEY", "\n"),
    ("RSA private key", "RSA PRIVATE KEY", "\n"),
    ("ssh private key", "OPENSSH PRIVATE KEY", "\n"),
    ("private key in JSON", "EC PRIVATE KEY", r"\n"),
):
    _PAIRS[_kind] = _pem(_type, _newline)
_PAIRS["service account of Google"] = (
    r'{"type": "service_account", "private_key": "' + _pem("PRIVATE KEY", r"\n")[0] + r'\n", "client_id": "1"}',
    _letters(30),
)

SECRETS: dict[str, str] = {kind: text for kind, (text, _) in _PAIRS.items()}
PLAIN: dict[str, str] = {kind: secret for kind, (_, secret) in _PAIRS.items()}

# Texts that resemble secrets and must stay unchanged.
ORDINARY = (
    "3f2504e0-4f89-11d3-9a0c-0305e82c3301",
    "4bf92f3577b34da6a3ce929d0e0e4736",
    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "9fceb02d0ae598e95dc970b74767f19372d61af8",
    _HEX,
    "GATE_PRD_REQUIRED",
    "LEAD-TO-PLAN",
    "SD-LEO-ENH-001",
    "SD-LEO-INFRA-TELEMETRY-PIPELINE-001-A-GATE_IMPLEMENTATION_FIDELITY",
    "SD-LEO-ENH-001/4bf92f3577b34da6a3ce929d0e0e4736",
    "claude-opus-4-8[1m]",
    "anthropic.claude-3-5-sonnet-20241022-v2:0",
    "gpt-4o-mini-2024-07-18",
    "models/embedding-001@default",
    "/usr/local/lib/python3.11/site-packages/leo_telemetry_pipeline/sources/otlp/otlp_protobuf.py",
    "/home/alice/Projects/MyApp2/Sources/ViewControllers/LoginViewController2Tests.swift",
    r"C:\Users\alice\AppData\Local\Programs\Python311\python.exe",
    "2026-02-09T10:00:00.123456+00:00",
    "input_tokens=12",
    '{"input_tokens": 12, "max_tokens": 4096, "cache_read_tokens": 0, "token_type": "input"}',
    "the password is wrong",
    "token budget: 200",
    "token_count: 7, tokens: 5",
    "v1.2.3-rc.4+build.5",
    "1.13.27",
    "AbstractSingletonProxyFactoryBeanConfigurationProvider2",
    "https://example.com:8443/users/@me?page=2#top",
    "http://localhost:3000/a/@scope/pkg",
    "git@github.com:org/repo.git",
    "npm install @scope/pkg@1.2.3 left-pad@^1.3.0",
    "actions/checkout@v4",
    "basic authentication is required",
    "the bearer of this message",
    "task-runner-for-disk-usage risk-assessment-2026",
    "asia-northeast1",
    "toolu_01A09q90qw90lq917835lq9",
    "a = b, c: d; e => f",
    "PWD=/srv/app OLDPWD=~/x",
    "docker run -u 1000:1000 image",
    "secret_name=db-main password_file: /run/secrets/db has_token: true token=null",
    "key=value; sort_key: created_at; primary_key=id",
    "Überprüfung der Grenzwerte – 5 × schneller",
    "tests/test_token.py::test_a",
    "GATE_SECRET_SCAN: lint",
    "Basic Teardown1",
    "step=token_refresh: 3 ms",
    "password_gate: 0.8",
    "check_credentials: ok",
    "fetch_token: 12 ms",
    "secrets.py:12: error",
    "token_validation=ok",
    "SECRETARY: Jane",
    "def f(token: str)",
    "def f(password: str) -> None",
    "task-sk-something-long-name-9",
    "sk-learn-pipeline-with-step-2",
    "unexpected token 'a'",
    "12 passed, pass: 3 of 4, pass=12 fail=1",
    "GATE pass: SD-LEO-ENH-001 pass: 1200ms pass: test_a1",
    "auth::token::validate",
    "/x?q=100%25%20of%20the%20password%20is%20wrong",
    "mysql -h db -P 3306",
    '["token", "password", "name"]',
    "<redacted>",
    "[redacted]",
    "",
)
