"""An app that gives out its own tokens (JWT): each caller sees and changes what is theirs.

    SECRET_KEY=$(openssl rand -hex 32) uvicorn examples.signed_in:app
    curl -d 'username=alice&password=wonderland' http://localhost:8000/token
    fastmcp list http://localhost:8000/mcp --auth TOKEN

It is FastAPI's own way of signing in: `OAuth2PasswordBearer`, and `current_user` for the routes.
The one line that MCP needs is the last. Notes are in SQLite, in memory.
"""

import hashlib
import os
import secrets
import sqlite3
import time
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Security
from fastapi.security import OAuth2PasswordBearer, OAuth2PasswordRequestForm, SecurityScopes
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey
from starlette.requests import Request

from mcp_mount import mount_mcp

# All workers need the same one; made up here, tokens end with the process.
KEY = OctKey.import_key(os.environ.get("SECRET_KEY") or secrets.token_hex(32))
LIFE = 3600
SCOPES = {"notes:read": "Read your notes.", "notes:write": "Write and delete your notes."}

database = sqlite3.connect(":memory:", check_same_thread=False)
database.executescript("""
    CREATE TABLE user (name TEXT PRIMARY KEY, salt BLOB, hash BLOB, scopes TEXT);
    CREATE TABLE note (id INTEGER PRIMARY KEY, owner TEXT, text TEXT);
""")


def hash_password(password: str, salt: bytes) -> bytes:
    """Return what is kept of a password."""
    return hashlib.scrypt(password.encode(), salt=salt, n=2**14, r=8, p=1)


def add_user(name: str, password: str, scopes: str) -> None:
    """Add a user, who may do what the scopes say."""
    salt = secrets.token_bytes(16)
    row = (name, salt, hash_password(password, salt), scopes)
    database.execute("INSERT INTO user VALUES (?, ?, ?, ?)", row)


add_user("alice", "wonderland", "notes:read notes:write")
add_user("bob", "builder", "notes:read")

app = FastAPI(title="Notes")
bearer = OAuth2PasswordBearer(tokenUrl="token", scopes=SCOPES)


# It takes a password and gives out a token: nothing for a model.
@app.post("/token", openapi_extra={"x-mcp": False})
def sign_in(form: Annotated[OAuth2PasswordRequestForm, Depends()]) -> dict[str, str]:
    """Return an access token for a name and a password."""
    query = "SELECT salt, hash, scopes FROM user WHERE name = ?"
    row = database.execute(query, (form.username,)).fetchone()
    if row is None or not secrets.compare_digest(hash_password(form.password, row[0]), row[1]):
        raise HTTPException(400, "The name or the password is wrong.")
    claims = {"sub": form.username, "scope": row[2], "exp": int(time.time()) + LIFE}
    return {"access_token": jwt.encode({"alg": "HS256"}, claims, KEY), "token_type": "bearer"}


def read_token(token: str) -> tuple[str, list[str]]:
    """Return whose token it is, and its scopes."""
    try:
        claims = jwt.decode(token, KEY, algorithms=["HS256"]).claims
        jwt.JWTClaimsRegistry(exp={"essential": True}, sub={"essential": True}).validate(claims)
    except (JoseError, ValueError):
        # A client that reads this header asks its user for a new token.
        headers = {"WWW-Authenticate": "Bearer"}
        raise HTTPException(401, "Sign in at /token, and send the token.", headers) from None
    return claims["sub"], str(claims.get("scope", "")).split()


def current_user(needed: SecurityScopes, token: Annotated[str, Depends(bearer)]) -> str:
    """Return who calls, if they may."""
    name, scopes = read_token(token)
    if not {*needed.scopes} <= {*scopes}:
        raise HTTPException(403, f"This needs the scopes {' '.join(needed.scopes)}.")
    return name


Reader = Annotated[str, Security(current_user, scopes=["notes:read"])]
Writer = Annotated[str, Security(current_user, scopes=["notes:write"])]


@app.get("/notes", operation_id="list_notes")
def list_notes(user: Reader) -> list[dict[str, int | str]]:
    """List your notes."""
    query = "SELECT id, text FROM note WHERE owner = ?"
    return [{"id": row[0], "text": row[1]} for row in database.execute(query, (user,))]


@app.post("/notes", status_code=201, operation_id="write_note")
def write_note(text: str, user: Writer) -> dict[str, int | None]:
    """Write a note down."""
    row = database.execute("INSERT INTO note (owner, text) VALUES (?, ?)", (user, text))
    return {"id": row.lastrowid}


async def scopes_of(request: Request) -> list[str]:
    """Return what the caller of the endpoint may do: a model sees no tool that it could not use."""
    return read_token(await bearer(request) or "")[1]


mount_mcp(app, dependencies=[Depends(current_user)], scopes_of=scopes_of)
