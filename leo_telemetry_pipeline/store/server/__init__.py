"""PostgreSQL itself: the embedded server, addresses, connections, migrations.

Does not belong here: statements on our tables (store).
"""
