"""Names of things that hold a secret: ``api_key``, ``X-Auth-Token``, not ``max_tokens`` or ``secret_scan``.

Belongs here: the words, judging a name by its last word, and constants that the other modules share.
Does not: what values look like (kinds, tools). Imported by the measured program, so it imports nothing.
"""

MARK = "[redacted]"
# A text of at least this length may be a secret without any marker: random letters.
LONG = 34

# "_" stands for any separator or none.
NAMES = (
    *("password", "passwd", "passphrase", "passcode", "pass_word", "pwd", "secret", "token", "credential", "cookie"),
    *("authorization", "basic_auth", "jwt", "jsession", "phpsess", "access_signature"),
    *("db_pass", "smtp_pass", "mysql_pass", "user_pass", "root_pass", "admin_pass", "mail_pass", "redis_pass"),
    *("api_key", "access_key", "private_key", "account_key", "auth_key", "encryption_key", "signing_key", "app_key"),
    *("master_key", "shared_key", "ssh_key", "storage_key", "license_key", "hmac_key", "deploy_key", "consumer_key"),
    *("application_key", "subscription_key", "functions_key", "service_key", "client_key", "admin_key", "webhook_key"),
)
# Passwords that people choose may be plain words; generated secrets are not.
_CHOSEN = ("password", "passwd", "passphrase", "passcode", "pwd", "secret", "pw", "pass")
_ENDS = tuple(name.replace("_", "") for name in NAMES)
_SHORT = ("_pw", "-pw", ".pw")
# Suffixes after which the value is still a secret.
_SUFFIXES = (
    "value hash b64 base64 key id base raw plain plaintext confirm confirmation prod production staging dev live"
)
_SUFFIX_WORDS = tuple(_SUFFIXES.split())
# A key that ends in "tokens" usually counts the tokens of a language model; after one of these words, it is a secret.
_TOKENS = "access auth refresh api bearer session csrf secret bot user client device security personal service oauth"
_SECRET_TOKENS = tuple(f"{kind}token" for kind in _TOKENS.split())
_COUNTED = "input output max min num first per last prompt completion total cached reasoning"
_COUNTED_TOKENS = tuple(f"{kind}token" for kind in _COUNTED.split())
_PREDICATES = ("has_", "is_", "needs_", "num_", "has-", "is-", "needs-", "check_", "validate_", "rotate_")
_DIGITS = "0123456789"
_MOST_JUDGED = 4_096
_judged: dict[str, bool] = {}


def names_secret(key: str) -> bool:
    """Return whether the value of this key is a secret."""
    judged = _judged.get(key)
    if judged is None:
        judged = _judge(key.lower())
        if len(key) <= 200:
            if len(_judged) >= _MOST_JUDGED:
                _judged.clear()
            _judged[key] = judged
    return judged


def is_chosen(key: str) -> bool:
    """Return whether people choose the value of this key, given in lower case."""
    return key.rstrip(_DIGITS + "s").endswith(_CHOSEN) or key.endswith("pass")


def _judge(key: str) -> bool:
    name = "".join(filter(str.isalnum, key)).rstrip(_DIGITS)
    if name in ("auth", "pw") or key.rstrip(_DIGITS).endswith(_SHORT):
        return True
    if key.startswith(_PREDICATES):
        return False
    for _ in range(2):
        if _ends_secret(name):
            return True
        name = name.removesuffix(next(filter(name.endswith, _SUFFIX_WORDS), "")).rstrip(_DIGITS)
    return _ends_secret(name)


def _ends_secret(name: str) -> bool:
    single = name.removesuffix("s")
    if single.endswith("token") and not single.endswith(_SECRET_TOKENS):
        return single == name and not name.endswith(_COUNTED_TOKENS)
    return name.endswith(_ENDS) or single.endswith(_ENDS)
