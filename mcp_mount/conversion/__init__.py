"""What a model gives as a request, and a response as what it gets.

In the order in which to read them:

    texts        one value as text
    styles       the values of parameters, as they stand in a request
    encoding     the values of a body, as they stand in a request
    arguments    what a model gives, as a request
    inputs       the arguments of an operation, and their schema
    structure    how much structure JSON has, counted before it is parsed
    decoders     the parts of a body, as text and values
    spooled      a long text, in memory or in a file
    reader       a response while it arrives
    output       what results a tool declares
    content      a response, as what a model gets
"""
