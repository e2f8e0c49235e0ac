"""Other MCP servers as a source of tools.

In the order in which to read them:

    remote        another MCP server, as it is named
    names         which of its tools are offered
    text          what others wrote, without what cannot be seen
    uris          addresses of resources, and how ours stand for them
    bounds        what stands in the place of a message that is too large
    session       an MCP session with another server
    http          the way to a server at a URL
    stdio         messages on standard input and output
    program       the way to a program, and its life
    failures      why a server is down, and errors that it wrote
    exchange      one request to another server
    listing       the lists of what it offers
    schemas       the schemas of its tools, as every client accepts them
    catalog       what it offers, fit to be offered here
    monitor       whether it answers, and what it offers now
    elicitation   what it asks of a user
    binding       how requests are forwarded to it
    progress      the progress of a call, shown to the caller
    tool          a tool of another server
    resources     its resources, templates and prompts
    provider      all of them, as a source of tools, resources and prompts
"""
