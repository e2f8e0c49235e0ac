"""Makes a site of pages that are also read in the repository."""

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
OUTSIDE = re.compile(r"(!?)\[([^\]]*)\]\(\.\./([^)]*)\)")


def on_files(files: Files, *, config: Any) -> Files:
    """Take in the figures of the benchmarks."""
    for figure in sorted((ROOT / "benchmarks").glob("*.png")):
        files.append(File.generated(config, f"images/{figure.name}", abs_src_path=str(figure)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Show figures from there; a file of the repository is no page, and only named."""

    def replace(link: re.Match[str]) -> str:
        target = Path(link[3]).name
        if target.endswith(".png"):
            return f"{link[1]}[{link[2]}](images/{target})"
        return link[2]

    return OUTSIDE.sub(replace, markdown)
