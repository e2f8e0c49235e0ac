"""What the command does for who writes an app.

In the order in which to read them:

    output        what is written where, and with which code a command ends
    refusals      what answers no MCP, in its own words
    asking        what is read of a server that nobody vouches for
    target        the tools of what a command names, and a client of it
    files         writes files whole, and into a client's without losing what is there
    listing       the tools, as a table and as JSON
    uploads       files of this machine as arguments
    values        arguments from the command line
    calling       a call, with its stream
    checking      what is wrong with the tools as a model sees them
    connecting    what connects a client
    working       a worker, which runs tasks
"""
