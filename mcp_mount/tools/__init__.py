"""Which operations are offered, and each of them as a tool.

In the order in which to read them:

    naming        what each tool is called
    marks         what is said of single operations as tools
    selection     which operations are offered
    secrets       what a model should not see
    confirm       the question before a destructive call
    access_log    a line in the log for each call
    tracing       the trace of a call, from its client to the route
    metrics       what is measured of each call
    binding       how one operation is called
    describing    what a model reads of a tool
    converting    what a call has read as its result
    call          a call of an operation's tool, from its arguments to its result
    limited       what tells tools of ours from those that users add
    context       what a tool that FastMCP runs asks of its context
    account       a call of another tool, measured and logged
    tool          an operation as a tool
    uris          addresses of resources, and templates of them
    resources     an operation as a resource
    following     the document that they follow, and when it is read
    provider      the tools and resources of a document
"""
