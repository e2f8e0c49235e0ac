"""An API of parts with connexion, which is written after its document: ``parts_connexion.yaml``."""

from pathlib import Path

from connexion import AsyncApp, problem

PARTS: dict[int, dict] = {}


async def list_parts(q="", size=None, where=None):
    return [p for p in PARTS.values() if q in p["name"] and (not size or p["size"] in size)]


async def add_part(body):
    part = {"id": len(PARTS) + 1, "size": "small", **body}
    PARTS[part["id"]] = part
    return part, 201


async def get_part(number):
    if number not in PARTS:
        return problem(404, "Not Found", f"There is no part {number}.")
    return PARTS[number]


async def replace_part(number, body):
    PARTS[number] = {"id": number, "size": "small", **body}
    return PARTS[number]


async def delete_part(number):
    PARTS.pop(number)
    return None, 204


async def attach(number, document):
    return {"part": number, "name": document.filename, "bytes": len(await document.read())}


async def form(body):
    return body


async def export():
    return (
        "".join(f"{p['id']},{p['name']}\n" for p in PARTS.values()),
        200,
        {"content-type": "text/csv"},
    )


async def locate(position, filter):  # noqa: A002
    return {"position": position, "filter": filter}


app = AsyncApp(__name__, specification_dir=Path(__file__).parent)
app.add_api("parts_connexion.yaml", pythonic_params=True, strict_validation=True)
