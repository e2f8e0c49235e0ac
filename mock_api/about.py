"""Tells questions about the service itself from those about Teamcenter, and answers them."""

import re
from typing import Final

# The hour of the day, not a duration, a limit or an occasion: the word must end what is asked.
_ASKING: Final = (
    r"(?:what(?:.?s| is| was)|tell me|give me|show me|say|get|read|do you (?:know|have)"
    r"|have you got)"
)
_WHOSE: Final = (
    r"(?:the|your|current|exact|local|present|today.?s|server(?:.s)?|mcp|utc|date|day|and|&)"
)
_END: Final = (
    r"(?=\s*(?:$|[?!.,;]|please\b|now\b|right now\b|today\b|is it\b|is today\b|in utc\b"
    r"|(?:on|of|at|for|from) (?:the|your|this) (?:mcp )?server\b))"
)
_TIME_QUESTION: Final = re.compile(
    rf"get_server_time|\b(?:what|which)(?: \w+)? (?:time|day|date) (?:is it|is today|do we have)\b"
    rf"|\b{_ASKING}(?: {_WHOSE})* (?:time|date){_END}"
    rf"|^(?:{_WHOSE} )*(?:time|date){_END}"
    rf"|^(?:what.?s|what is|what day is) today[?!.]*$",
    re.IGNORECASE,
)

SUBJECTS: Final = (
    "items, structures, changes, workflows, access, CAD, deployment, upgrades and performance"
)

_HELP: Final = f"""\
I answer questions about product lifecycle management with Teamcenter: {SUBJECTS}.

Ask in plain words, such as "How do I baseline a structure?" or "Why can I not edit a released \
part?": the answer is the best passages of the knowledge base, with the slugs of the articles that \
they come from. "What time is it?" is answered with the server's time.

The same is there without me: search_articles finds articles, get_article reads one, and \
watch_changes tells what changes."""

_WHO: Final = f"""\
I am the answerer of a knowledge base about product lifecycle management with Teamcenter. I find \
the passages that fit a question, and make up nothing; no language model is at work. Ask about \
{SUBJECTS}, or say "help"."""

_HELLO: Final = f"""\
Hello! Ask me about product lifecycle management with Teamcenter: {SUBJECTS}. "help" says more."""

_THANKS: Final = "You are welcome. Ask on whenever something about Teamcenter is unclear."

_POLITE: Final = r"(?:please|hi|hello|hey|so|and|ok|okay|well|but|then)"
_AGAIN: Final = r"(?:please|now|then|again|here|there|today|for me|exactly|really|actually)"

_ANSWERS: Final = {
    # The whole question must say it: "help with a stuck workflow" is about workflows.
    r"(?:(?:can|could|would) you )?(?:give me )?(?:some )?help(?: me)?|i need (?:some )?help"
    r"|commands?|usage|manual|instructions": _HELP,
    r"what (?:all )?(?:can|could|do) (?:you|i|one|we) (?:do|ask|know|offer)(?: you)?(?: about)?"
    r"|what (?:are you able to do|are you (?:good )?for|are you capable of)"
    r"|what (?:can|could) (?:you|this|it) help(?: me)?(?: with)?"
    r"|how (?:can|could|do) you help(?: me)?|how do you work|how does this work"
    r"|how (?:do|can) (?:i|we) use (?:you|this|it)"
    r"|what (?:questions|topics|subjects)(?: can i ask| do you (?:know|cover))?(?: you)?"
    r"|what (?:are|is) your (?:features?|capabilit(?:y|ies)|abilit(?:y|ies)|functions?|skills?)"
    r"|what do you know|what tools (?:do you have|are there|can you use)": _HELP,
    r"who are you|who is this|what are you|who am i (?:talking|speaking|chatting) (?:to|with)"
    r"|what(?:.?s| is) your name|what(?:.?s| is) this(?: service| place)?"
    r"|are you (?:an? )?(?:real )?(?:ai|bot|robot|human|person|chatgpt|gpt|model|llm|machine)"
    r"|(?:introduce|describe) yourself|tell me (?:something )?about (?:you|yourself)"
    r"|who (?:made|built|wrote) you": _WHO,
    r"(?:many |ok |great |perfect |super )*(?:thanks|thank you|thank u|thx|ty|cheers)"
    r"(?: (?:a lot|so much|very much|again|for (?:your |the )?(?:help|answer|that)))*": _THANKS,
    r"(?:hi|hello|hey|good (?:morning|afternoon|evening|day)|greetings)(?: (?:there|you|all))?"
    r"|how are you(?: doing)?": _HELLO,
}
LONGEST: Final = 200
"""Characters of a question about the service; what is polite may be said once more in each place.

Of thousands, each way to share them out among the places would be tried: of 4,000, for seconds.
"""

_PATTERNS: Final = [
    (re.compile(rf"(?:{_POLITE} )*(?:{said})(?: {_AGAIN})*"), answer)
    for said, answer in _ANSWERS.items()
]


def asks_for_time(question: str) -> bool:
    """Tell `"What time is it?"` from `"How much time does an upgrade take?"`."""
    return _TIME_QUESTION.search(" ".join(question.split())) is not None


def answer_about_service(question: str) -> str | None:
    """Answer `"What can you do?"` and the like; None for a question about something else."""
    bare = " ".join(re.findall(r"[\w']+", question.lower())) or question.strip()
    for pattern, answer in _PATTERNS if len(bare) <= LONGEST else ():
        if pattern.fullmatch(bare):
            return answer
    return None
