"""A Teamcenter knowledge base: the demo application of `mcp_mount`."""
