"""A Model Context Protocol endpoint for a FastAPI application, in the same process.

The modules in the order in which to read them; each imports only from those above it:

    errors       what can be wrong, and what to do about it
    patterns     which regular expressions clients can compile
    operations   the operations of an OpenAPI document
    naming       what each tool is called
    selection    which operations are offered
    simplify     a schema in the form and the words that clients need
    schemas      JSON Schema that every client accepts
    limits       what calls may take, and how often they may be made
    origin       which web pages may call
    auth         who may call what
    sessions     whose session it is
    routing      whether a path leads to the operation it is meant for
    call         the words of every call: request, response, caller
    scope        what a call takes over from the request it is made for
    running      one request on its way through an app
    inprocess    calls of the app in this process
    encoding     the values of arguments, as they stand in a request
    arguments    what a model gives, as a request
    decoders     the parts of a body, as text and values
    reading      a response while it arrives
    content      a response, as what a model gets
    shape        what results a tool declares
    confirm      the question before a destructive call
    journal      a line in the log for each call
    tools        an operation as a tool
    remote       another MCP server, as it is named
    program      a program that speaks MCP
    sieve        what another server sends, without what costs too much
    connection   the way to another server
    reasons      why another server is down
    exchange     one call of another server
    plain        texts of others, without what cannot be seen
    foreign      what another server says of its tools, fit to be offered
    listing      what another server offers
    keeper       how a task that stays in touch waits
    watch        whether another server answers, and what it offers
    relay        how calls are passed on to another server
    remote_questions    what another server asks of a user
    remote_tools        a tool of another server
    remote_resources    resources and prompts of another server
    remotes      other servers as a source of tools
    server       the tools of a document as an MCP server
    apart        a coroutine in a context of its own
    recognize    the hot requests, read as the SDK does
    wire         the answer to a request, written
    patience     one timer for all calls that still run
    direct       a call in the request's own task
    fastlane     the same answers, sooner
    client       a client of the endpoint, in this process
    endpoint     the route, and who is let in
    mount        the server on the app
    example      a server to try the gateway with
    gateway      several servers behind one endpoint
    cli          the command line
"""

from mcp_mount.errors import InvalidMark, InvalidSelector, MountError, NameClash
from mcp_mount.gateway import gateway_app
from mcp_mount.limits import Limits, RateLimit
from mcp_mount.mount import Mounted, mount_mcp
from mcp_mount.operations import Operation
from mcp_mount.remote import Remote

__all__ = [
    "InvalidMark",
    "InvalidSelector",
    "Limits",
    "MountError",
    "Mounted",
    "NameClash",
    "Operation",
    "RateLimit",
    "Remote",
    "gateway_app",
    "mount_mcp",
]
