"""Other MCP servers as a source of tools.

In the order in which to read them:

    remote        another MCP server, as it is named
    program       a program that speaks MCP
    sieve         what another server sends, without what costs too much
    connection    the way to another server
    reasons       why another server is down
    exchange      one call of another server
    plain         texts of others, without what cannot be seen
    foreign       what another server says of its tools, fit to be offered
    listing       what another server offers
    keeper        how a task that stays in touch waits
    watch         whether another server answers, and what it offers
    relay         how calls are passed on to another server
    questions     what another server asks of a user
    tool          a tool of another server
    resources     resources and prompts of another server
    provider      all of them, as a source of tools, resources and prompts
"""
