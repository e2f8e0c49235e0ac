"""An app that gives out its own tokens (JWT): each caller sees and changes what is theirs.

    pip install -e '.[demo,examples]'
    SECRET_KEY=$(openssl rand -hex 32) uvicorn examples.signed_in:app
    curl -d 'username=alice&password=wonderland' http://localhost:8000/token
    fastmcp list http://localhost:8000/mcp --auth TOKEN

It is FastAPI's own way of signing in: `OAuth2PasswordBearer`, and `current_user` for the routes.
The one line that MCP needs is the last. Notes are tables of SQLModel, whose models are what a model
is told of arguments and answers, too; `DATABASE_URL` says where they are kept, otherwise in a
file that ends with the process.
"""

import atexit
import hashlib
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Query, Security
from fastapi.security import OAuth2PasswordBearer, OAuth2PasswordRequestForm, SecurityScopes
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey
from sqlalchemy.pool import NullPool
from sqlmodel import Field, Session, SQLModel, col, create_engine, select
from starlette.requests import Request

from mcp_mount import mount_mcp

# All workers need the same one; made up here, tokens end with the process.
KEY = OctKey.import_key(os.environ.get("SECRET_KEY") or secrets.token_hex(32))
LIFE = 3600
SCOPES = {"notes:read": "Read your notes.", "notes:write": "Write and delete your notes."}


class User(SQLModel, table=True):
    """Who may sign in, and what they may do then."""

    name: str = Field(primary_key=True)
    salt: bytes
    hash: bytes
    scopes: str


class NoteText(SQLModel):
    """What a caller says of a note."""

    text: str = Field(max_length=2_000, description="The note, as plain text.")


class Note(NoteText, table=True):
    """A note, and whose it is."""

    id: int | None = Field(default=None, primary_key=True)
    owner: str = Field(foreign_key="user.name", index=True)


class NoteShown(NoteText):
    """A note as its owner sees it."""

    id: int


# Not in memory: that is one connection, on which callers at the same time get each other's rows.
FOLDER = tempfile.mkdtemp(prefix="notes-")
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)
URL = os.environ.get("DATABASE_URL", f"sqlite:///{FOLDER}/notes.sqlite3")
# Nobody waits for a connection with a thread that who has one needs.
engine = create_engine(URL, poolclass=NullPool)
SQLModel.metadata.create_all(engine)


def open_session() -> Iterator[Session]:
    """Yield a session for one request."""
    with Session(engine) as session:
        yield session


Database = Annotated[Session, Depends(open_session)]


def hash_password(password: str, salt: bytes) -> bytes:
    """Return what is kept of a password."""
    return hashlib.scrypt(password.encode(), salt=salt, n=2**14, r=8, p=1)


def add_user(name: str, password: str, scopes: str) -> None:
    """Add a user, who may do what the scopes say, unless there is one of the name."""
    salt = secrets.token_bytes(16)
    with Session(engine) as session:
        if session.get(User, name) is None:
            hashed = hash_password(password, salt)
            session.add(User(name=name, salt=salt, hash=hashed, scopes=scopes))
            session.commit()


add_user("alice", "wonderland", "notes:read notes:write")
add_user("bob", "builder", "notes:read")

app = FastAPI(title="Notes")
bearer = OAuth2PasswordBearer(tokenUrl="token", scopes=SCOPES)


# It takes a password and gives out a token: nothing for a model.
@app.post("/token", openapi_extra={"x-mcp": False})
def sign_in(
    form: Annotated[OAuth2PasswordRequestForm, Depends()], database: Database
) -> dict[str, str]:
    """Return an access token for a name and a password."""
    user = database.get(User, form.username)
    if user is None or not secrets.compare_digest(
        hash_password(form.password, user.salt), user.hash
    ):
        raise HTTPException(400, "The name or the password is wrong.")
    claims = {"sub": user.name, "scope": user.scopes, "exp": int(time.time()) + LIFE}
    return {"access_token": jwt.encode({"alg": "HS256"}, claims, KEY), "token_type": "bearer"}


def read_token(token: str) -> tuple[str, list[str]]:
    """Return whose token it is, and its scopes."""
    try:
        claims = jwt.decode(token, KEY, algorithms=["HS256"]).claims
        jwt.JWTClaimsRegistry(exp={"essential": True}, sub={"essential": True}).validate(claims)
    except (JoseError, TypeError, ValueError):
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


@app.get("/notes", operation_id="list_notes", response_model=list[NoteShown])
def list_notes(
    user: Reader,
    database: Database,
    limit: Annotated[int, Query(ge=1, le=100, description="The most notes to return.")] = 20,
) -> list[Note]:
    """Return what you have written down, the newest first."""
    newest = col(Note.id).desc()
    query = select(Note).where(Note.owner == user).order_by(newest).limit(limit)
    return [*database.exec(query)]


@app.post("/notes", status_code=201, operation_id="write_note", response_model=NoteShown)
def write_note(note: NoteText, user: Writer, database: Database) -> Note:
    """Write something down, for you alone."""
    kept = Note(text=note.text, owner=user)
    database.add(kept)
    database.commit()
    database.refresh(kept)
    return kept


async def scopes_of(request: Request) -> list[str]:
    """Return what the caller of the endpoint may do: a model sees no tool that it could not use."""
    return read_token(await bearer(request) or "")[1]


mount_mcp(app, dependencies=[Depends(current_user)], scopes_of=scopes_of)
