"""The same answers, sooner.

In the order in which to read them:

    context      a coroutine in a context of its own
    recognize    the hot requests, read as the SDK does
    writer       the answer to a request, written
    patience     one timer for all calls that still run
    direct       a call in the request's own task
    lane         which requests go that way, and which to FastMCP
"""
