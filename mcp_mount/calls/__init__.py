"""A request on its way to the app in this process, or to an API elsewhere.

In the order in which to read them:

    call          the words of every call: request, response, caller
    changes       whether an app has the routes, and the document, that it had
    routing       whether a path leads to the operation it is meant for
    scope         what a call takes over from the request it is made for
    running       one request on its way through an app
    caller        who knows where operations are
    inprocess     calls of the app in this process
    token         access tokens of the proxy's own
    upstream      how to call an API elsewhere
    forwarding    an API elsewhere as an ASGI app
    elsewhere     calls of an API elsewhere
"""
