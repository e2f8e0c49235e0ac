"""Other MCP servers as a source of tools.

In the order in which to read them:

    remote        another MCP server, as it is named
    names         which of its tools are offered
    text          what others wrote, without what cannot be seen
    sizes         how large a result is, before it is written
    uris          addresses of resources, and how ours stand for them
    bounds        what stands in the place of a message that is too large
    events        a stream of messages, without what can be none
    sdk_log       what the SDK logs of our sessions
    outgoing      one request: what it has with it, and meets on its way
    large         large answers, read beside the event loop's work
    reading       a response while it arrives, no more of it than is allowed
    results       those that are refused before models are made of them
    dispatcher    sends requests, and bounds what comes back
    failures      why a server is down, and errors that it wrote
    session       an MCP session with another server, and its version
    life          whose a session or a process is, and whether it lives
    http          the way to a server at a URL
    stdio         messages on standard input and output
    process       the process of a program
    program       the way to a program
    exchange      one request in a session of its own
    pool          sessions that are kept
    listing       the lists of what it offers
    schemas       the schemas of its tools, as every client accepts them
    entries       entries of its lists, one by one
    catalog       what it offers, fit to be offered here
    offer         what one server offers, and what the log is told of it
    standing      whether it answers, since when, and when it is asked again
    contact       what requests know of the task that stays in touch with it
    words         the words of a text, however they are written
    forms         whether a form asks for a secret
    elicitation   what it asks of a user
    asking        what a server asks and says while a call runs
    hearing       what it says by itself
    monitor       stays in touch with it, and sends it what others ask of it
    links         addresses in what it answers
    binding       how requests are forwarded to it
    progress      the progress of a call, shown to the caller
    shortening    an answer, cut to what it may have
    tool          a tool of another server
    resources     its resources, templates and prompts
    completing    completions of their arguments
    merged        what all of them offer together, under our names
    changes       tells clients that there is something else to list
    provider      all of them, as a source of tools, resources and prompts
"""
