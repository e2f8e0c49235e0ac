"""What a model gives as a request, and a response as what it gets.

In the order in which to read them:

    texts        one value as text
    styles       the values of parameters, as they stand in a request
    encoding     the values of a body, as they stand in a request
    structure    how much structure JSON has, counted before it is parsed
    values       a text, as the JSON value that it is
    headers      what headers say of a body
    decoders     the parts of a body, as they arrive
    slips        a string where JSON is wanted, as what is wanted
    arguments    what a model gives, as a request
    reserved     which parameters are never a model's to fill
    inputs       the arguments of an operation, and their schema
    spooled      a long text, in memory or in a file
    deltas       the text and the parts in the events of language models
    merging      a value or a text that comes in several events
    kept         the items of a stream that are kept
    items        the events or lines of a stream, their text joined
    reader       a response while it arrives
    fields       the argument by which a model asks for some of an answer
    comparing    results, with their schema
    output       what results a tool declares
    content      a response, as what a model gets
    shortening   a result, cut down to what it may have
"""
