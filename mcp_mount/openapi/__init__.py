"""Reads OpenAPI documents, and publishes their schemas as every client accepts them.

In reading order:

    sizes         how large values are
    nodes         typed access to the nodes of a document, and its references
    media         what a media type says about a body
    parameters    path, query, header and cookie values
    bodies        request bodies and responses
    examples      the words of an operation's examples
    operations    the operations of a document
    fetching      what is at the URL of a document
    document      a document from a file, a URL or a mapping
    growth        what a document that has grown still says
    servers       where an API is
    paths         which operation a path leads to on another server
    patterns      which regular expressions clients can compile
    tidy          a schema of any version in today's keywords
    combine       merged schemas, and inheritance
    work          how much the schemas of a document may be
    models        schemas with their references followed
    simplify      one schema in the form that clients know
    directions    schemas in one direction
    portable      the schema of an argument for clients that know few keywords
    schemas       JSON Schema that every client accepts
"""
