"""Whether a document says the same as before, and only more."""

from collections.abc import Mapping
from typing import Any

from mcp_mount.openapi.nodes import expect_mapping


def extends(document: Mapping[str, Any], before: Mapping[str, Any] | None) -> bool:
    """Whether the operations that are in both documents mean the same in both.

    They do where nothing beside the paths is another, but for schemas that are new. One of them
    with ``allOf`` can be another form of what an older schema stands for, and a reference to
    another path means what is there.
    """
    if before is None:
        return False
    (rest, schemas), (old_rest, old_schemas) = _split(document), _split(before)
    if rest != old_rest or any(schemas.get(name) != each for name, each in old_schemas.items()):
        return False
    added = [schema for name, schema in schemas.items() if name not in old_schemas]
    return "'allOf'" not in str(added) and "#/paths/" not in str(document)


def _split(document: Mapping[str, Any]) -> tuple[dict[str, Any], Mapping[str, Any]]:
    """Return what a document has beside its paths and schemas, and the schemas."""
    components = {**expect_mapping(document.get("components") or {}, "components")}
    schemas = expect_mapping(components.pop("schemas", None) or {}, "components.schemas")
    rest = {key: value for key, value in document.items() if key not in {"paths", "components"}}
    return {**rest, "components": components}, schemas
