"""Who calls, who may, and how often.

In the order in which to read them:

    principals    who makes a request
    store         where several processes count together
    answered      which questions have been answered
    rates         how often a caller may call
    origin        which web pages may call
    auth          who may call what
    credentials   the key that a proxy or a gateway takes
    issuer        the tokens of an issuer that they take
    sessions      whose session it is
    shares        how many sessions a caller may have
"""
