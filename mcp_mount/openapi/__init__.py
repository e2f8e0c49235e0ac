"""What an OpenAPI document says, and its schemas as every client accepts them.

In the order in which to read them:

    nodes         the parts of a document
    media         what a media type says
    parameters    what a request holds beside its body
    bodies        what is sent, and what may come back
    operations    the operations of an OpenAPI document
    document      an OpenAPI document from a file or a URL
    servers       where an API is, as its document says
    paths         which operation a path leads to elsewhere
    patterns      which regular expressions clients can compile
    tidy          a schema of any version, as JSON Schema
    combine       schemas that hold together, as one
    models        the schemas of a document, each with what it refers to
    simplify      a schema in the form and the words that clients need
    schemas       JSON Schema that every client accepts
"""
