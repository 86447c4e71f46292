r"""Patterns of secrets in text.

Belongs here: literal prefilters (marks) and regular expressions, one entry per kind.
Does not: names of things that hold secrets (names), or scanning a text (tools).

Every kind has a mark: text that each of its secrets contains. Repetitions that could backtrack are bounded, so the
time is linear in the length of the text. The group ``keep`` remains in front of the replacement.
"""

# A secret does not follow a letter or digit, unless that ends an escape: \n, \u003d, %3D.
START = r"(?:(?<![A-Za-z0-9])|(?<=\\[bfnrt])|(?<=\\u[0-9a-fA-F]{4})|(?<=%[0-9a-fA-F]{2}))"
_PEM_END = r".*?(?:-----END[ +_%0-9A-Z]{1,60}-----|\Z)"
_USER = r"[^\s:\"'…\[]{1,99}:"
# Marks in lower case, and the expression to replace in a text that has one of them.
KINDS = (
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
    ("k_live_ k_test_", START + r"[srp]k_(?:live|test)_[A-Za-z0-9]{8,}"),
    ("whsec_", r"whsec_[\w+/=-]{16,}"),
    # Hyphenated words may begin like this too; a key has one long part with a digit or a capital.
    (
        "sk-",
        START + r"sk-(?=(?:[A-Za-z0-9_]{1,15}-){0,5}(?=[a-z_]{0,99}[0-9A-Z])[A-Za-z0-9_]{16,})[\w-]{16,}",
    ),
    ("aiza gocspx- 1//0", r"AIza[\w-]{30,}|GOCSPX-[\w-]{16,}|" + START + r"1//0[\w-]{30,}"),
    ("ya29.", r"ya29\.[\w.-]{10,}"),
    ("eyj", r"eyJ[\w-]{10,}(?:\.[\w-]*){0,4}"),
    ("npm_ hf_ gsk_ r8_", START + r"(?:npm|hf|gsk|r8)_[A-Za-z0-9]{28,}"),
    ("pypi- dckr_pat_", r"pypi-Ag[\w-]{16,}|pypi-[A-Za-z0-9_]{40,}|dckr_pat_[\w-]{16,}"),
    ("sg.", START + r"SG\.[\w-]{16,}\.[\w-]{16,}"),
    ("dapi", START + r"dapi[0-9a-fA-F]{28,}(?:-\d{1,2})?"),
    ("hvs. hvb. hvr.", START + r"hv[sbr]\.[\w-]{16,}"),
    ("dop_v1_ doo_v1_ dor_v1_", r"do[por]_v1_[0-9a-fA-F]{32,}"),
    ("shpat_ shpca_ shppa_ shpss_", r"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{16,}"),
    ("lin_api_ lin_oauth_", r"lin_(?:api|oauth)_[A-Za-z0-9]{16,}"),
    ("glsa_ glc_ sntrys_ figd_ pmak- tskey-", START + r"(?:glsa_|glc_|sntrys_|figd_|PMAK-|tskey-)[\w+/=-]{20,}"),
    ("age-secret-key-", r"(?i:AGE-SECRET-KEY-1)[A-Za-z0-9]{16,}"),
    (":a", r"(?<!\d)\d{6,12}:A[\w-]{30,}"),
    # Ordinary words may follow "bearer"; a token has a digit or inner capitals.
    (
        "bearer",
        r"(?P<keep>"
        + START
        + r"(?i:bearer(?:\s{1,9}|:\s{0,9}|\+|%20)))(?=[\w.~+/-]{0,64}(?:[0-9=]|[a-z][A-Z]))[\w.~+/-]{8,}={0,2}",
    ),
    # A port and a path before an @ are not a user and a password.
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
        r"(?P<keep>(?<![\w-])(?:-u[ =]{0,2}|--(?:proxy-)?user[ =]{1,2})[\"']?)(?!\d+:\d)" + _USER + r"[^\s\"'/…]\S*",
    ),
    ("@tcp( @unix(", r"(?<![\w.-])[^\s:@/\"'()]{1,64}:[^\s\"']{1,128}?(?=@(?:tcp|unix)\()"),
    (
        "mysql mariadb",
        r"(?P<keep>" + START + r"(?:mysql|mariadb)[\w-]{0,20}\s[^\n|;&\[]{0,100}?(?<=\s)-p[\"']?)[^\s\"'…\[][^\s\"']*",
    ),
    ("sshpass", r"(?P<keep>" + START + r"sshpass\s{1,9}-p\s{0,9}[\"']?)[^\s\"'…\[][^\s\"']*"),
    ("redis-cli", r"(?P<keep>" + START + r"redis-cli\s[^\n|;&\[]{0,100}?(?<=\s)-a\s{1,9}[\"']?)[^\s\"'…\[][^\s\"']*"),
    (
        "identified",
        r"(?P<keep>(?i:identified\s(?:[^\n;']{0,60}\s)?(?:by|as)\s{1,9}(?:password\s{1,9})?)')(?!\[redacted|…)[^']+",
    ),
    # Test reports also contain "pass:", so a password here must have letters and digits, and no character that occurs
    # in ids or paths.
    (
        "pass: pass= pass\" pass'",
        r"(?P<keep>"
        + START
        + r"(?i:pass)[\"']?[=:]\s{0,4}[\"']?)(?=[A-Za-z!@#$%^*+?]{1,64}\d)[\w!@#$%^*+?]{6,}+(?![./:-])(?<!_)",
    ),
)
