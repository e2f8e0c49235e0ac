"""Backends send a request to an operation: into the app in this process, or to an API over HTTP.

In reading order:

    request       the request, the response sink, and the context of the MCP request
    changes       notices new routes of an app whose OpenAPI document does not tell
    routing       whether the app's routing leads a path to the operation it is meant for
    scope         the ASGI scope of a call, made from that of the MCP request
    app_call      one request on its way through an ASGI app
    backend       the protocol that both backends follow
    asgi          calls the app in this process
    token         access tokens of the proxy's own
    upstream      how to call an API over HTTP
    redaction     takes what is the proxy's own out of the addresses that an API answers with
    forwarding    an ASGI app that forwards to an API over HTTP
    http          calls an API over HTTP
"""
