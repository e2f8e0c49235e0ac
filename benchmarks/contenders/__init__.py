"""One module for each way to serve the same route, each with an ASGI `app` for uvicorn."""
