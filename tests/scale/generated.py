"""An application of a thousand routes: ten of every kind, in a hundred routers."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, FastAPI, Header, Query, UploadFile
from pydantic import BaseModel, Field


class Address(BaseModel):
    street: str = Field(max_length=100, examples=["High Street 1"])
    country: Literal["AT", "CH", "DE"] = "DE"
    position: tuple[float, float] | None = None


class Supplier(BaseModel):
    name: str
    addresses: list[Address] = []
    labels: dict[str, str] = {}


class Part(BaseModel):
    """A part, which is made of parts."""

    number: str = Field(pattern=r"^P-\d{4}$")
    supplier: Supplier | None = None
    parts: list["Part"] = []


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"]
    owner: Supplier | None = None


Pet = Annotated[Cat | Dog, Field(discriminator="kind")]


class PartPatch(BaseModel):
    supplier: Supplier | None = None
    stock: int | None = Field(default=None, ge=0)


router = APIRouter()


@router.get("/parts")
async def list_parts(
    tag: Annotated[list[str], Query(alias="filter[tag]")] = [],  # noqa: B006 - FastAPI copies
    *,
    order: Literal["name", "number"] = "name",
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    after: str | None = None,
) -> list[Part]:
    return [Part(number=f"P-{1000 + n}") for n in range(limit)]


@router.post("/parts", status_code=201)
async def create_part(part: Part) -> Part:
    return part


@router.get("/parts/{number}")
async def get_part(number: str, *, x_locale: Annotated[str, Header()] = "en") -> Part:
    return Part(number=number)


@router.put("/parts/{number}")
async def replace_part(number: str, part: Part) -> Part:
    return part


@router.patch("/parts/{number}")
async def change_part(number: str, patch: PartPatch) -> dict[str, Any]:
    return patch.model_dump(exclude_unset=True)


@router.delete("/parts/{number}", status_code=204)
async def delete_part(number: str) -> None:
    return None


@router.post("/pets")
async def create_pet(pet: Pet) -> Pet:
    return pet


@router.post("/parts/{number}/files")
async def add_files(number: str, files: list[UploadFile]) -> list[str | None]:
    return [file.filename for file in files]


@router.put("/parts/{number}/tree/{depth}")
async def write_tree(number: str, depth: int, parts: list[Part]) -> dict[str, Part]:
    return {part.number: part for part in parts}


@router.get("/legacy/{name}", deprecated=True)
async def legacy(name: str) -> Address | Supplier:
    """Answer as before.

    Use `get_part` instead.
    """
    return Supplier(name=name)


app = FastAPI(title="A thousand routes")
for number in range(100):
    app.include_router(router, prefix=f"/areas/{number}", tags=[f"area {number}"])
