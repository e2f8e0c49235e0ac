# One image for all three: SERVICE=api (the knowledge base), proxy or gateway.
FROM python:3.13-slim

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1

WORKDIR /app
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY mcp_mount ./mcp_mount
RUN pip install --constraint constraints.txt '.[demo,rate-limit]' && rm -r mcp_mount
COPY mock_api ./mock_api
COPY docker/entrypoint.sh /usr/local/bin/entrypoint

# What may be written belongs to the one who runs; the code does not.
RUN useradd --uid 10001 --create-home --shell /usr/sbin/nologin app && install -d -o app /data
USER app
VOLUME /data

ENV SERVICE=api KB_DATABASE=/data/kb.sqlite3
# The second is the gateway's; PORT names another one.
EXPOSE 8000 8490
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 \
  CMD ["python", "-c", "import os, urllib.request as r; e = os.environ; port = e.get(\"PORT\") or (\"8490\" if e.get(\"SERVICE\") == \"gateway\" else \"8000\"); r.urlopen(f\"http://127.0.0.1:{port}/health\", timeout=4)"]
ENTRYPOINT ["entrypoint"]
