"""The ways in which a request can be refused; each carries its status and a text for the client.

KnowledgeBaseError
├── NotFound          404
├── NotAcceptable     406
├── AlreadyExists     409
├── TooManyAttachments 409
├── TooLarge          413
├── Loop              508
├── SearchTooLong     503
├── StorageError      503
│   ├── StorageBusy       503
│   └── StorageFull       507
└── AnswerError
    ├── ModelFailed       502
    ├── ModelRefused      502
    ├── Unavailable       503
    └── TooSlow           504
"""

from typing import ClassVar


class KnowledgeBaseError(Exception):
    """A refusal whose text was written for the client."""

    status: ClassVar[int]

    retry_after: ClassVar[int | None] = None
    """Seconds after which to try again, where that is worth it."""


class NotFound(KnowledgeBaseError):
    """What the request names is not in the knowledge base."""

    status = 404


class NotAcceptable(KnowledgeBaseError):
    """None of the representations on offer is one that the client accepts."""

    status = 406


class AlreadyExists(KnowledgeBaseError):
    """Something of this name is there already."""

    status = 409


class TooManyAttachments(KnowledgeBaseError):
    """The article has as many files as it may."""

    status = 409


class TooLarge(KnowledgeBaseError):
    """The upload is larger than the service takes."""

    status = 413


class Loop(KnowledgeBaseError):
    """A question that comes from the answer to another one."""

    status = 508


class SearchTooLong(KnowledgeBaseError):
    """A search that others would have to wait for."""

    status = 503
    retry_after = 5


class TooManyWatchers(KnowledgeBaseError):
    """One who watches for changes more than there can be."""

    status = 503
    retry_after = 30


class StorageError(KnowledgeBaseError):
    """The file of the knowledge base cannot be used; `advice` is for whoever runs the service."""

    status = 503

    def __init__(self, detail: str, advice: str) -> None:
        super().__init__(detail)
        self.advice = advice


class StorageBusy(StorageError):
    """Somebody else has held the file for too long."""

    retry_after = 5


class StorageFull(StorageError):
    """There is no room on the disk (RFC 4918 §11.5)."""

    status = 507


class AnswerError(KnowledgeBaseError):
    """There is no answer, or no end of one, and not because of the question."""


class ModelFailed(AnswerError):
    """The model has answered with what is no answer."""

    status = 502


class ModelRefused(AnswerError):
    """The model, or who runs it, does not want to answer."""

    status = 502


class Unavailable(AnswerError):
    """The model cannot be reached or will not serve us, or the tools cannot be used."""

    status = 503


class TooSlow(AnswerError):
    """The model has not finished in time."""

    status = 504
