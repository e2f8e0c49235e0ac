"""gunicorn main:app --config deploy/gunicorn.conf.py (pip install gunicorn uvicorn-worker)."""

import gc

bind = "127.0.0.1:8000"
workers = 2
worker_class = "uvicorn_worker.UvicornWorker"
# Whoever is silent for as long is restarted. It is the worker that is meant, not a long stream.
timeout = 60
# After SIGTERM, streams that are still open have as long.
graceful_timeout = 5


def post_worker_init(_worker: object) -> None:
    """Take the app that was loaded out of every later garbage collection."""
    gc.collect()
    gc.freeze()
