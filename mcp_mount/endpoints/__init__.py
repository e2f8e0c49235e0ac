"""Where MCP is served: the transports, the start and the stop.

In the order in which to read them:

    guard         what a request passes before MCP sees it
    endpoint      a route that serves MCP
    hosting       what the endpoints serve, and what runs for it
    lifespan      its start and its stop
    collapse      one answer in an event stream, as JSON
    streamable    Streamable HTTP
    streams       whose event stream it is
    sse           the older transport, HTTP with SSE
    client        a client of the endpoint, in this process
"""
