"""An API of parts with Litestar, which writes its document itself."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from litestar import Controller, Litestar, delete, get, patch, post
from litestar.datastructures import UploadFile
from litestar.enums import MediaType, RequestEncodingType
from litestar.exceptions import NotFoundException
from litestar.openapi import OpenAPIConfig
from litestar.params import Body, Parameter
from litestar.response import Stream


@dataclass
class Part:
    name: str
    size: Literal["small", "large"] = "small"
    price: float | None = None
    tags: list[str] = field(default_factory=list)


@dataclass
class Kept(Part):
    id: int = 0


@dataclass
class Change:
    price: float | None


PARTS: dict[int, Kept] = {}


def find(number: int) -> Kept:
    if number not in PARTS:
        raise NotFoundException(f"There is no part {number}.")
    return PARTS[number]


class Parts(Controller):
    path = "/parts"
    tags = ["parts"]

    @get()
    async def list_parts(
        self, q: str = "", size: list[Literal["small", "large"]] | None = None
    ) -> list[Kept]:
        """List parts."""
        return [p for p in PARTS.values() if q in p.name and (not size or p.size in size)]

    @post()
    async def add_part(self, data: Part) -> Kept:
        """Add a part."""
        number = len(PARTS) + 1
        PARTS[number] = Kept(data.name, data.size, data.price, data.tags, number)
        return PARTS[number]

    @get("/{number:int}")
    async def get_part(self, number: int) -> Kept:
        """Get a part."""
        return find(number)

    @patch("/{number:int}")
    async def change_part(self, number: int, data: Change) -> Kept:
        """Change the price of a part."""
        find(number).price = data.price
        return find(number)

    @delete("/{number:int}")
    async def delete_part(self, number: int) -> None:
        """Delete a part."""
        del PARTS[find(number).id]

    @post("/{number:int}/attach")
    async def attach(
        self,
        number: int,
        data: Annotated[UploadFile, Body(media_type=RequestEncodingType.MULTI_PART)],
    ) -> dict[str, str | int]:
        """Attach a document."""
        return {"part": number, "name": data.filename, "bytes": len(await data.read())}

    @post("/form")
    async def form(
        self, data: Annotated[Part, Body(media_type=RequestEncodingType.URL_ENCODED)]
    ) -> Part:
        """Check a part that is sent as a form."""
        return data

    @get("/export", media_type=MediaType.TEXT)
    async def export(self) -> Stream:
        """Export the names, line by line."""

        async def lines():
            for part in PARTS.values():
                yield f"{part.id},{part.name}\n"

        return Stream(lines(), media_type="text/csv")

    @get("/who")
    async def who(
        self,
        tenant: Annotated[str, Parameter(header="X-Tenant")],
        theme: Annotated[str, Parameter(cookie="theme")] = "light",
    ) -> dict[str, str]:
        """Say who asks."""
        return {"tenant": tenant, "theme": theme}


app = Litestar([Parts], openapi_config=OpenAPIConfig("Parts", "1", path="/schema"))
