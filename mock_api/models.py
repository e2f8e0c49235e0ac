"""What the service takes and gives, as JSON."""

from typing import Annotated, Final, Literal

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    FailFast,
    Field,
    StringConstraints,
    model_validator,
)
from pydantic_core import PydanticCustomError

WORDS = r"^[a-z0-9]+(?:-[a-z0-9]+)*$"
"""Lower-case words joined by hyphens: `"baseline-a-structure"`."""

Slug = Annotated[str, StringConstraints(pattern=WORDS, max_length=80)]
Tag = Annotated[str, StringConstraints(pattern=WORDS, max_length=40)]
Title = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Summary = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]
Body = Annotated[str, StringConstraints(min_length=1, max_length=100_000)]
# One error for each of 100,000 wrong tags takes a second.
Tags = Annotated[tuple[Tag, ...], FailFast(), Field(max_length=20)]

MOST_FIELDS: Final = 20
"""Fields of what is written; with so many, each one that is unknown is an error of its own."""

MOST_ATTACHMENTS: Final = 100
"""Files of one article: every answer with it tells of them all."""

Action = Literal["created", "replaced", "updated", "deleted", "attached"]


class Error(BaseModel):
    """Why a request was refused."""

    detail: str


class Attachment(BaseModel):
    """A file that belongs to an article, without its bytes."""

    model_config = ConfigDict(frozen=True)

    filename: str = Field(description="The name under which get_attachment returns the file.")
    media_type: str = Field(examples=["image/png", "application/pdf"])
    size: int = Field(description="Bytes.")
    caption: str | None = None


class _Written(BaseModel):
    """What a client writes; fields that there are not are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _has_few_fields(cls, data: object) -> object:
        if isinstance(data, dict) and len(data) > MOST_FIELDS:
            raise PydanticCustomError(
                "too_many_fields",
                "Send these fields only: {known}; there are {count}",
                {"known": ", ".join(cls.model_fields), "count": len(data)},
            )
        return data


class ArticleContent(_Written):
    """Everything of an article that its author writes, except its slug."""

    title: Title = Field(description="What lists and searches show, such as a question.")
    summary: Summary | None = Field(default=None, description="One or two sentences.")
    tags: Tags = Field(
        default=(), description="What to find it by.", examples=[["bom", "structure"]]
    )
    body: Body = Field(description="The text, in Markdown.")


class NewArticle(ArticleContent):
    """An article to create."""

    slug: Slug = Field(description="The article's name in URLs.", examples=["baseline-a-structure"])


class ArticlePatch(_Written):
    """The fields to change; a field that is left out keeps its value."""

    # A default factory keeps the meaningless default out of the schema; what was sent is
    # told by `model_fields_set`.
    title: Title = Field(default_factory=str, description="Replaces the title.")
    summary: Summary | None = Field(default=None, description="`null` removes the summary.")
    tags: Tags = Field(default_factory=tuple, description="Replaces all tags; `[]` removes them.")
    body: Body = Field(default_factory=str, description="The text, in Markdown.")


class Article(BaseModel):
    """An article of the knowledge base."""

    model_config = ConfigDict(frozen=True)

    slug: str
    title: str
    summary: str | None
    tags: tuple[str, ...]
    body: str = Field(description="The text, in Markdown.")
    updated: AwareDatetime
    attachments: tuple[Attachment, ...] = ()


class SearchHit(BaseModel):
    """An article that matches a search, with the part of its text that does."""

    model_config = ConfigDict(frozen=True)

    slug: str = Field(description="Pass it to get_article for the whole text.")
    title: str
    summary: str | None
    tags: tuple[str, ...]
    updated: AwareDatetime
    snippet: str = Field(description="The best passage, with the matching words in `**`.")
    score: float | None = Field(description="Higher is better; null when nothing was searched for.")


class SearchPage(BaseModel):
    """One page of search results, best first."""

    model_config = ConfigDict(frozen=True)

    items: tuple[SearchHit, ...]
    total: int = Field(description="How many articles match, on all pages.")
    limit: int
    offset: int


class Change(BaseModel):
    """Something that happened to an article."""

    model_config = ConfigDict(frozen=True)

    id: int = Field(description="Grows with each change; pass it as `since` to resume after it.")
    action: Action
    slug: str
    at: AwareDatetime


class ChatRequest(BaseModel):
    """A question."""

    prompt: Annotated[
        str, StringConstraints(strip_whitespace=True, min_length=1, max_length=4_000)
    ] = Field(
        description="The question, in plain words.",
        examples=["How do I baseline a structure?"],
    )

    @model_validator(mode="before")
    @classmethod
    def _message_is_another_name(cls, data: object) -> object:
        # Chat clients have it. The schema says one name only, so that nobody has to choose.
        if not isinstance(data, dict) or "message" not in data:
            return data
        prompt = data.get("prompt")
        is_blank = prompt is None or (isinstance(prompt, str) and not prompt.strip())
        return {**data, "prompt": data["message"]} if is_blank else data


class Answer(BaseModel):
    """A chat answer in one piece."""

    answer: str


class Health(BaseModel):
    """Whether the service can answer."""

    status: Literal["ok", "degraded", "failing"] = Field(
        default="ok", description="`degraded`: it can be read, but not changed."
    )
    articles: int | None = None
    detail: str | None = Field(default=None, description="What is wrong, where something is.")
