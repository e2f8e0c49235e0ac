"""Where MCP is served: the transports, the start and the stop.

In the order in which to read them:

    guard         what a request passes before MCP sees it
    endpoint      a route that serves MCP
    hosting       what the endpoints serve, and what runs for it
    amount        refuses a message that holds more than it can need
    form          refuses a POST that is no message
    unwrap        a call through the search, as the call that it stands for
    dispatcher    reads each request, checks its scopes, answers it or hands it on
    report        what the log says at the start
    lifespan      its start and its stop
    collapse      turns an event stream with one answer into JSON
    events        the events of sessions, for who comes back
    event_store   where they are kept
    aside         writes the large parts of FastMCP's answers beside the SDK
    outbox        how much may wait on an event stream
    unread        streams of a session that are not read
    idle          what a session keeps while nothing happens in it
    streamable    Streamable HTTP
    streams       whose event stream it is
    sse           the older transport, HTTP with SSE
    transport     what clients of ours use: it does not compare results again
    client        a client of the endpoint, in this process
"""
