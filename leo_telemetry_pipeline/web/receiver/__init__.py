"""OTLP receiver: an ASGI application that stores the spans of requests.

Belongs here: requests and responses of OTLP over HTTP. Does not: what a span is (sources), storing it (store), pages
(web.dashboard), sockets (web.server).
"""
