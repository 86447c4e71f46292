"""PostgreSQL access: the embedded server, addresses, connections, migrations.

Belongs here: running and reaching a server. Does not: statements on our tables (store).
"""
