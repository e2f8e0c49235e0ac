"""Operations of large applications answer as they do over REST."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.scale.apps import FOREIGN, LITELLM, TITILER, generated, litellm, titiler
from tests.support import ERAS, Era, Reply, call, rpc

pytestmark = pytest.mark.slow


def structured(reply: Reply) -> dict[str, Any]:
    assert not reply.is_error, reply.text_content
    content: dict[str, Any] = reply.result["structuredContent"]
    return content


@pytest.mark.parametrize("era", ERAS)
async def test_each_of_a_thousand_routes_is_called_as_itself(era: Era) -> None:
    """C5, P2: the tools of one function differ in the path that they call."""
    app = generated().app
    paths = [path for path, item in app.openapi()["paths"].items() if "{number}" in path]
    for area in (0, 57, 99):
        reply = await call(
            app, f"get_part_areas_{area}_parts_number", {"number": "P-1234"}, era=era
        )
        assert structured(reply)["number"] == "P-1234"
    assert len(paths) == 300


async def test_recursive_and_united_models_make_the_round_trip() -> None:
    """P5: what a schema with definitions describes reaches the route and comes back."""
    app = generated().app
    part: dict[str, Any] = {"number": "P-0001", "supplier": None, "parts": []}
    tree = {**part, "parts": [{**part, "number": "P-0002"}]}
    made = await call(app, "create_part_areas_42_parts", tree)
    assert structured(made) == tree

    dog = {"kind": "dog", "owner": {"name": "Ann", "addresses": [], "labels": {"a": "b"}}}
    pet = await call(app, "create_pet_areas_42_pets", {"body": dog})
    assert json.loads(pet.text_content) == dog

    wrong = await call(app, "create_part_areas_42_parts", {"number": "1"})
    assert wrong.is_error
    assert "string_pattern_mismatch" in wrong.text_content


@pytest.fixture
def geotiff(tmp_path: Path) -> str:
    """A raster of 256 by 256 pixels around longitude 5, latitude 5."""
    # TiTiler brings it; see `tests.scale.apps` for why it is not imported above.
    rasterio = pytest.importorskip("rasterio")
    path = tmp_path / "ramp.tif"
    profile = {
        "driver": "GTiff",
        "width": 256,
        "height": 256,
        "count": 1,
        "dtype": "uint8",
        "crs": "EPSG:4326",
        "transform": rasterio.transform.from_bounds(0, 0, 10, 10, 256, 256),
    }
    with rasterio.open(path, "w", **profile) as raster:
        numpy = pytest.importorskip("numpy")
        raster.write(numpy.arange(256 * 256).reshape(1, 256, 256).astype("uint8"))
    return str(path)


@TITILER
@FOREIGN
@pytest.mark.parametrize("era", ERAS)
async def test_titiler_lists_describes_and_draws(era: Era, geotiff: str) -> None:
    """R1, R2: JSON comes as structured content, a tile as an image."""
    app = titiler().app
    colormaps = structured(await call(app, "getColorMapList", era=era))["colormaps"]
    assert "viridis" in {colormap["id"] for colormap in colormaps}
    matrix_sets = structured(await call(app, "getTileMatrixSetsList", era=era))["tileMatrixSets"]
    assert "WebMercatorQuad" in {matrix_set["id"] for matrix_set in matrix_sets}

    info = structured(await call(app, "cog_getInfo", {"url": geotiff}, era=era))
    assert (info["width"], info["bounds"]) == (256, [0.0, 0.0, 10.0, 10.0])

    place = {"tileMatrixSetId": "WebMercatorQuad", "z": 4, "x": 8, "y": 7}
    tile = await call(
        app, "cog_getTileWithFormat", {"url": geotiff, "format": "png", **place}, era=era
    )
    (image,) = tile.result["content"]
    assert (image["type"], image["mimeType"]) == ("image", "image/png")
    assert image["data"].startswith("iVBORw0KGgo")


@TITILER
@FOREIGN
async def test_titiler_takes_geojson_and_lists_in_the_query(geotiff: str) -> None:
    """C5: a body that is a union is one argument; a list is a repeated parameter."""
    ring = [[1, 1], [5, 1], [5, 5], [1, 5], [1, 1]]
    square = {"type": "Polygon", "coordinates": [ring]}
    feature = {"type": "Feature", "properties": {}, "geometry": square}
    arguments = {"url": geotiff, "bidx": [1], "p": [10, 90], "body": feature}
    reply = await call(titiler().app, "cog_postStatisticsForGeoJSON", arguments)
    assert not reply.is_error
    statistics = json.loads(reply.text_content)["properties"]["statistics"]["b1"]
    assert {"percentile_10", "percentile_90"} < statistics.keys()


@LITELLM
@FOREIGN
@pytest.mark.parametrize("era", ERAS)
async def test_litellm_answers_from_among_a_thousand_operations(era: Era) -> None:
    """C2: its own middleware, which loads what is asked for, sees the operation's path."""
    large = litellm()
    message = {"role": "user", "content": "How many tokens are these?"}
    arguments = {"model": "gpt-4o", "messages": [message]}
    counted = await call(large.app, "token_counter", arguments, era=era, path=large.path)
    assert structured(counted)["total_tokens"] > 5
    arguments = {"model": "gpt-4o"}
    known = await call(large.app, "supported_openai_params", arguments, era=era, path=large.path)
    assert "temperature" in structured(known)["supported_openai_params"]


@LITELLM
@FOREIGN
async def test_litellm_keeps_its_own_endpoint() -> None:
    """M1: nothing else of the app changes."""
    theirs = await rpc(litellm().app, "legacy", "tools/list")
    assert theirs.result["tools"] == []
