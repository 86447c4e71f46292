"""Commands that go on running, and the processes they start: dev, worker, serve, service.

Does not belong here: commands that end by themselves (cli).
"""
