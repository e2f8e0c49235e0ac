"""The files that belong to articles."""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Form, Path, Request, Response, Security, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from mock_api.errors import TooLarge
from mock_api.identity import current_caller
from mock_api.media import content_disposition, safe_filename
from mock_api.models import MOST_ATTACHMENTS, Attachment
from mock_api.routes.common import REASONS, SettingsDep, SlugPath, StoreDep, headers, refusals
from mock_api.tokens import WRITE


class _Multipart(APIRoute):
    """A route that reads no urlencoded form: no file is in one, and each `&` takes its time."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def checked(request: Request) -> Response:
            if "urlencoded" in request.headers.get("content-type", "").lower():
                wrong = {"type": "multipart", "loc": ("body",), "msg": "Send multipart/form-data."}
                raise RequestValidationError([wrong])
            return await handle(request)

        return checked


router = APIRouter(
    prefix="/articles/{slug}/attachments", tags=["attachments"], route_class=_Multipart
)

TAKEN = f"The article has a file of this name already, or {MOST_ATTACHMENTS} files."
FILE = {"schema": {"type": "string", "format": "binary"}}


@router.post(
    "",
    operation_id="upload_attachment",
    summary="Attach a file to an article",
    dependencies=[Security(current_caller, scopes=[WRITE])],
    status_code=201,
    responses={
        201: headers(location="The new attachment."),
        **refusals(404, 409, 413, 507, reasons=REASONS | {409: TAKEN}),
    },
)
def upload_attachment(
    *,
    slug: SlugPath,
    file: UploadFile,
    request: Request,
    response: Response,
    store: StoreDep,
    settings: SettingsDep,
    caption: Annotated[str | None, Form(max_length=300, description="What the file shows.")] = None,
) -> Attachment:
    """Attach a file, such as an image or a PDF, to an article, which can have 100 files.

    Its type is told from its content; its name is made safe, and is in the answer.
    """
    data = file.file.read(settings.max_attachment_bytes + 1)
    if len(data) > settings.max_attachment_bytes:
        raise TooLarge(f"The file is larger than {settings.max_attachment_bytes} bytes.")
    attachment = store.attach(slug, safe_filename(file.filename), data, caption)
    url = request.url_for("get_attachment", slug=slug, filename=attachment.filename)
    response.headers["Location"] = quote(url.path)
    return attachment


@router.get(
    "/{filename}",
    operation_id="get_attachment",
    summary="Get an attached file",
    response_class=Response,
    responses={
        200: {
            "description": "The file.",
            "content": {
                "image/png": FILE,
                "image/jpeg": FILE,
                "image/gif": FILE,
                "application/pdf": FILE,
                "application/octet-stream": FILE,
                "text/plain": {"schema": {"type": "string"}},
            },
        },
        **refusals(404),
    },
)
def get_attachment(
    slug: SlugPath,
    filename: Annotated[str, Path(description="A name from the article's attachments.")],
    store: StoreDep,
) -> Response:
    """Return a file that is attached to an article: an image, a PDF, a text or other data."""
    media, data = store.attachment(slug, filename)
    safety = {
        "Content-Disposition": content_disposition(filename, media),
        "X-Content-Type-Options": "nosniff",
    }
    return Response(data, media_type=media, headers=safety)
