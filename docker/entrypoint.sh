#!/bin/sh
# Starts what SERVICE names. One process, which gets the signals itself: everything ends in `exec`.
# Who may call the proxy and the gateway, and how, they read from the environment; arguments of the
# container are further options of theirs.
set -eu

SERVICE="${SERVICE:-api}"
# As the commands have it without a container; the health check reads it the same way.
case "$SERVICE" in
gateway) PORT="${PORT:-8490}" ;;
*) PORT="${PORT:-8000}" ;;
esac
export PORT

case "$SERVICE" in
api)
  # The knowledge base; it writes its own access log.
  exec uvicorn mock_api.main:app --host 0.0.0.0 --port "$PORT" --no-access-log \
    --timeout-graceful-shutdown 2
  ;;
proxy)
  : "${OPENAPI:?is the file or the URL of the OpenAPI document: set it}"
  # UPSTREAM_URL says where the API is.
  exec mcp-mount proxy --host 0.0.0.0 "$@"
  ;;
gateway)
  if [ -n "${GATEWAY_SERVERS:-}" ]; then
    exec mcp-mount gateway "$GATEWAY_SERVERS" --host 0.0.0.0 --port "$PORT" "$@"
  fi
  exec mcp-mount gateway --example --host 0.0.0.0 --port "$PORT" "$@"
  ;;
*)
  echo "SERVICE=$SERVICE is not known: write api, proxy or gateway." >&2
  exit 64
  ;;
esac
