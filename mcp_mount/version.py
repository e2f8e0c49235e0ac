"""The version of the package: the build reads it here, and it is known without an installation."""

__version__ = "0.1.0"
