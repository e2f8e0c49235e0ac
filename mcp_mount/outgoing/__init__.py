"""Requests to servers elsewhere, that nobody vouches for: what they may cost, and what is logged.

In reading order:

    log           what the HTTP library logs of our requests
    bodies        bodies of responses, read no further than a bound
    tls           TLS with servers that nobody vouches for
    heads         connections that parse no more header fields than an answer can need
    excess        closes connections on which more has come than an answer
"""
