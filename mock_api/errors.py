"""The ways in which a request can be refused; each carries its status and a text for the client.

KnowledgeBaseError
├── NotFound          404
├── NotAcceptable     406
├── AlreadyExists     409
└── TooLarge          413
"""

from typing import ClassVar


class KnowledgeBaseError(Exception):
    """A refusal whose text was written for the client."""

    status: ClassVar[int]


class NotFound(KnowledgeBaseError):
    """What the request names is not in the knowledge base."""

    status = 404


class NotAcceptable(KnowledgeBaseError):
    """None of the representations on offer is one that the client accepts."""

    status = 406


class AlreadyExists(KnowledgeBaseError):
    """Something of this name is there already."""

    status = 409


class TooLarge(KnowledgeBaseError):
    """The upload is larger than the service takes."""

    status = 413
