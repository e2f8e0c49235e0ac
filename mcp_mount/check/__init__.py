"""What is wrong with tools as a model sees them; `mcp-mount check` tells it.

In the order in which to read them:

    subject       a tool, and the operation behind it where that is known
    rule          what a rule is, and what it finds
    words         the words by which a model chooses a tool
    arguments     what a model has to fill in
    behaviour     what a call does
    answers       what a model gets
    whole         the list as one
    rules         all of them
    report        what they find in a list, with grades; as JSON for programs
    formats       a report as text, and for GitHub
    settings      what a project says of it in its pyproject.toml
"""
