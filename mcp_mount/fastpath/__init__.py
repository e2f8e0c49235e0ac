"""The same answers as FastMCP's to the hot requests, sooner.

In reading order:

    context      runs a coroutine in another context
    outline      reads of a message what decides where it goes
    messages     reads the hot requests, as strictly as the SDK
    writer       writes the answer to a request
    tracing      the span of a call, as FastMCP's
    listing      the answer to ``tools/list``
    responder    decides which requests are answered here, and answers them
"""
