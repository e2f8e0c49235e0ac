"""A Model Context Protocol endpoint for a FastAPI application, in the same process.

The modules in the order in which to read them; each imports only from those above it:

    errors       what can be wrong, and what to do about it
    environment  variables in what configuration says
    patterns     which regular expressions clients can compile
    nodes        the parts of a document
    media        what a media type says
    parameters   what a request holds beside its body
    bodies       what is sent, and what may come back
    operations   the operations of an OpenAPI document
    document     an OpenAPI document from a file or a URL
    servers      where an API is, as its document says
    paths        which operation a path leads to elsewhere
    naming       what each tool is called
    selection    which operations are offered
    tidy         a schema of any version, as JSON Schema
    combine      schemas that hold together, as one
    models       the schemas of a document, each with what it refers to
    simplify     a schema in the form and the words that clients need
    schemas      JSON Schema that every client accepts
    loops        values that each event loop has of its own
    limits       what calls may take
    callers      who makes a request
    rates        how often a caller may call
    origin       which web pages may call
    auth         who may call what
    sessions     whose session it is
    changes      whether an app has the routes that it had
    routing      whether a path leads to the operation it is meant for
    call         the words of every call: request, response, caller
    scope        what a call takes over from the request it is made for
    running      one request on its way through an app
    caller       who knows where operations are
    inprocess    calls of the app in this process
    token        access tokens of the proxy's own
    upstream     how to call an API elsewhere
    forwarding   an API elsewhere as an ASGI app
    elsewhere    calls of an API elsewhere
    texts        one value as text
    styles       the values of parameters, as they stand in a request
    encoding     the values of a body, as they stand in a request
    arguments    what a model gives, as a request
    decoders     the parts of a body, as text and values
    pieces       a long text, in memory or in a file
    reading      a response while it arrives
    content      a response, as what a model gets
    shape        what results a tool declares
    confirm      the question before a destructive call
    journal      a line in the log for each call
    plan         how one operation is called
    describing   what a model reads of a tool
    responding   from a request to its result
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
    source       the app or an API elsewhere, as what is offered
    apart        a coroutine in a context of its own
    recognize    the hot requests, read as the SDK does
    wire         the answer to a request, written
    patience     one timer for all calls that still run
    direct       a call in the request's own task
    fastlane     the same answers, sooner
    client       a client of the endpoint, in this process
    door         what a request passes before MCP sees it
    endpoint     a route that serves MCP
    hosting      what the endpoints serve, and what runs for it
    lifespan     its start and its stop
    unframed     one answer in an event stream, as JSON
    streamable   Streamable HTTP
    streams      whose event stream it is
    sse          the older transport, HTTP with SSE
    checks       what is wrong with the options of a mount
    mount        the server on the app
    example      a server to try the gateway with
    gateway      several servers behind one endpoint
    proxy        an app that offers an API elsewhere
    flags        the command line's words for an upstream
    cli          the command line
"""

from mcp_mount.errors import InvalidMark, InvalidSelector, MountError, NameClash
from mcp_mount.gateway import gateway_app
from mcp_mount.limits import Limits
from mcp_mount.mount import Mounted, mount_mcp
from mcp_mount.operations import Operation
from mcp_mount.proxy import proxy_app
from mcp_mount.rates import RateLimit
from mcp_mount.remote import Remote
from mcp_mount.token import ClientCredentials
from mcp_mount.upstream import Upstream

__all__ = [
    "ClientCredentials",
    "InvalidMark",
    "InvalidSelector",
    "Limits",
    "MountError",
    "Mounted",
    "NameClash",
    "Operation",
    "RateLimit",
    "Remote",
    "Upstream",
    "gateway_app",
    "mount_mcp",
    "proxy_app",
]
