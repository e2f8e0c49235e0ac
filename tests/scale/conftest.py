"""Collected only where this folder is named, as `make scale` and `make scale-litellm` do."""

from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    """Importing a thousand routes takes longer than most tests."""
    named = [config.invocation_params.dir / arg.partition("::")[0] for arg in config.args]
    return None if any(path.resolve().is_relative_to(HERE) for path in named) else True
