"""Environment variables that libpq reads, with values that would mislead it.

Belongs here: variables for the environment of a test or a trial. Does not: expectations.
"""

import re
from pathlib import Path

# Valid, but meant for another server: libpq would use them.
MEANT_FOR_ANOTHER = {
    "PGAPPNAME": "another",
    "PGCHANNELBINDING": "require",
    "PGCLIENTENCODING": "LATIN1",
    "PGCONNECT_TIMEOUT": "2",
    "PGDATABASE": "postgres",
    "PGDATESTYLE": "German",
    "PGGEQO": "off",
    "PGGSSDELEGATION": "1",
    "PGGSSENCMODE": "require",
    "PGGSSLIB": "gssapi",
    "PGHOST": "127.0.0.1",
    "PGHOSTADDR": "127.0.0.1",
    "PGKRBSRVNAME": "another",
    "PGLOADBALANCEHOSTS": "random",
    "PGLOCALEDIR": "/nowhere",
    "PGMAXPROTOCOLVERSION": "3.2",
    "PGMINPROTOCOLVERSION": "3.2",
    "PGOAUTHDEBUG": "UNSAFE",
    "PGOPTIONS": "-c search_path=elsewhere -c default_transaction_read_only=on",
    "PGPASSFILE": "/nowhere",
    "PGPASSWORD": "of another",
    "PGPORT": "1",
    "PGREQUIREAUTH": "none",
    "PGREQUIREPEER": "nobody",
    "PGREQUIRESSL": "1",
    "PGSSLCERT": "/nowhere",
    "PGSSLCERTMODE": "require",
    "PGSSLCOMPRESSION": "1",
    "PGSSLCRL": "/nowhere",
    "PGSSLCRLDIR": "/nowhere",
    "PGSSLKEY": "/nowhere",
    "PGSSLMAXPROTOCOLVERSION": "TLSv1",
    "PGSSLMINPROTOCOLVERSION": "TLSv1.3",
    "PGSSLMODE": "verify-full",
    "PGSSLNEGOTIATION": "direct",
    "PGSSLROOTCERT": "system",
    "PGSSLSNI": "0",
    "PGSERVICE": "another",
    "PGSERVICEFILE": "/nowhere",
    "PGSYSCONFDIR": "/nowhere",
    "PGTARGETSESSIONATTRS": "standby",
    "PGTZ": "America/New_York",
    "PGUSER": "nobody",
}
NONSENSE = dict.fromkeys(MEANT_FOR_ANOTHER, "nonsense")


def read_by_libpq(library: Path) -> set[str]:
    """Return the names of variables compiled into a libpq."""
    found = re.findall(rb"\0(PG[A-Z_]{2,})(?=\0)", library.read_bytes())
    return {name.decode() for name in found if not name.startswith(b"PGRES_")}
