"""What a person sees who opens the endpoint in a browser.

In the order in which to read them:

    negotiation   what a GET of the endpoint asks for
    document      the page, as one document
    findings      what `mcp-mount check` says of the list
    details       what the page shows beside what MCP says

The page itself is in `shell.html`, `style.css` and the scripts, which `document` puts together.
"""
