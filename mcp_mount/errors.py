"""The ways in which mounting or calling can be wrong, each with what to do about it.

MountError                 an option, or the application, cannot be mounted as it is
├── InvalidDocument        an OpenAPI document that cannot be read, or a part of one
├── InvalidMark            an ``x-mcp`` mark that cannot be read
├── InvalidSelector        an ``include=`` or ``exclude=`` that matches nothing, or fails
└── NameClash              two operations whose authors chose the same tool name
InvalidArguments           a call that cannot become a request; the model can mend it
Busy                       a call over a limit; the model can come back
"""


class MountError(ValueError):
    """The application cannot be mounted as it is. The message says what to change."""


class InvalidDocument(MountError):
    """The OpenAPI document, or a part of it, cannot be read. The message names the place."""


class InvalidMark(MountError):
    """An operation carries an ``x-mcp`` mark that is not of the documented form."""


class InvalidSelector(MountError):
    """A selector matches no operation, has no known form, or raised."""


class NameClash(MountError):
    """Two operations would be the same tool, under names their authors chose."""


class InvalidArguments(Exception):
    """The arguments of a call cannot become a request. The message says why."""


class Busy(Exception):
    """A call cannot run now. The message says when to try again."""
