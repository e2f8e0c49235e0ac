"""Words that people use for one another when they talk of an API. Pure.

They are general: verbs of every API, and nouns of the trades that many are of. What one API means
by a word of its own stands in its descriptions, or in the ``keywords`` of an ``x-mcp`` mark.
"""

import re
from itertools import chain
from typing import Final, Literal

from mcp_mount.search.words import stem

Action = Literal["read", "create", "update", "delete"]

_VERBS: Final[dict[Action, tuple[str, ...]]] = {
    "read": (
        "get read fetch retrieve show view see display describe lookup inspect",
        "list all enumerate browse",
        "search find query filter lookup",
        "count number many total",
        "check verify test validate is",
        "download export save",
    ),
    "create": (
        "create add new make insert register open provision launch start spin",
        "send post publish submit write email mail notify tell",
        "upload import attach put",
        "invite ask request",
        "copy clone duplicate fork",
    ),
    "update": (
        "update edit change modify patch set replace alter adjust correct fix",
        "rename retitle",
        "enable activate on",
        "disable deactivate suspend pause off",
        "move transfer migrate reassign",
        "resize scale enlarge grow expand extend increase shrink",
        "lock freeze protect",
        "close resolve complete finish",
        "approve accept confirm",
        "assign give hand",
        "restore recover undelete undo revert rollback reinstate",
    ),
    "delete": (
        "delete remove destroy drop erase purge clear wipe discard",
        "cancel abort stop terminate end kill",
        "revoke withdraw invalidate",
        "remove kick unassign detach unlink disconnect dissociate leave",
    ),
}

_NOUNS: Final = (
    "user member person people account profile",
    "user customer client buyer",
    "me myself current authenticated",
    "somebody someone anybody everybody everyone user member",
    "group team crew",
    "organization organisation org company workspace tenant",
    "owner ownership lead responsible",
    "assignee assign responsible",
    "permission allow access right privilege grant",
    "role permission",
    "password credential secret auth login",
    "token key credential apikey",
    "login signin session authenticate",
    "logout signout session",
    "ban block suspend",
    "watch follow subscribe star observe",
    "watcher follower subscriber",
    "like vote upvote favorite reaction star",
    "comment reply note remark annotation",
    "message notification email mail",
    "alert warning warn alarm monitor notify",
    "announcement banner notice broadcast",
    "issue ticket bug task",
    "task todo job work item",
    "label tag",
    "attachment file document upload",
    "picture image photo avatar icon logo",
    "folder directory",
    "content text body source",
    "diff difference compare comparison change",
    "traffic visit view analytics",
    "security vulnerability vulnerable advisory",
    "author contributor write writer",
    "leak expose compromise",
    "space storage",
    "output artifact result",
    "ci pipeline workflow action build",
    "history change log audit event activity timeline happen",
    "log output trace",
    "event activity",
    "status state condition health",
    "progress status",
    "workflow pipeline process",
    "run execute trigger start launch perform",
    "rerun retry repeat again",
    "build compile deployment",
    "deploy release rollout publish ship",
    "release version milestone",
    "repository repo codebase",
    "pull merge request review",
    "branch ref",
    "commit revision change",
    "server machine instance vm host node",
    "restart reboot power",
    "stop shutdown halt power",
    "disk volume storage drive",
    "snapshot backup copy image",
    "database db postgres mysql sql",
    "cluster kubernetes k8s",
    "container docker image",
    "ip address network",
    "domain dns hostname website site zone",
    "certificate ssl tls https",
    "firewall rule security",
    "region location datacenter zone",
    "size plan tier type",
    "memory ram",
    "cpu processor load",
    "metric usage statistic stat measure analytics utilization",
    "limit quota rate",
    "uptime availability down outage",
    "invoice bill billing statement",
    "balance owe debt money fund",
    "payment charge pay",
    "refund reimburse",
    "subscription plan recurring",
    "price cost fee amount",
    "coupon discount promotion voucher",
    "order purchase buy",
    "product item article good",
    "cart basket checkout",
    "shipping shipment delivery parcel",
    "tax vat",
    "bank iban account",
    "card credit debit",
    "payout withdraw transfer",
    "dispute chargeback contest",
    "contact person address",
    "phone telephone call sms number",
    "channel room conversation chat",
    "calendar schedule event appointment meeting",
    "reminder schedule",
    "schedule cron plan recurring timer",
    "time hour duration worklog",
    "date day deadline due",
    "timezone locale language",
    "language locale translation",
    "setting configuration config preference option property",
    "field property attribute column",
    "template blueprint",
    "dashboard report chart",
    "board kanban",
    "search query filter find",
    "webhook callback hook subscription",
    "connection link relation integration",
    "link relate connect associate",
    "link url uri",
    "duplicate copy same",
    "archive hide inactive",
    "visible public private visibility",
    "priority importance urgency",
    "parent child hierarchy tree",
    "play song track music",
    "playlist queue",
    "movie film video",
    "weather forecast",
    "place location venue city",
    "route direction path",
    "valid validate correct parse syntax",
    "error failure fail crash exception problem",
    "maintenance window downtime",
    "cleanup clean prune unused",
    "cache cached",
    "key secret",
    "ssh key",
    "model engine",
    "feature flag toggle",
    "feedback review rating survey",
)

_PHRASES: Final = tuple(
    (re.compile(rf"\b(?:{pattern})\b"), words)
    for pattern, words in (
        (r"spin up|set up|bring up", "create"),
        (r"bring back|put back|get back", "restore"),
        (r"get rid of|throw away|take (?:away|down|off)", "delete"),
        (r"(?:turn|switch|shut|power)(?:ed|ing)? (?:off|down)", "disable stop power"),
        (r"(?:turn|switch|power)(?:ed|ing)? on", "enable start power"),
        (r"(?:sign|log)(?:ged|ging|ned|ning)? ?in", "login"),
        (r"(?:sign|log)(?:ged|ging|ned|ning)? ?out", "logout"),
        (r"sign up", "create account"),
        (r"who am i|my (?:own )?(?:account|profile|user)", "get current user me"),
        (r"(?:am|are|is) \w+ allowed|may i|can i|(?:allowed|permitted) to", "permissions"),
        (r"how (?:many|often)", "count"),
        (r"how much|how full", "usage amount"),
        (r"look(?:ing)? (?:up|for)", "search"),
        (r"look at", "get"),
        (r"(?:show|get|give|see|fetch|what are)(?: me)? all", "list get"),
        (r"kick(?: \w+)? out(?: of)?", "remove"),
        (r"(?:hand|pass|give)((?: \w+){1,3}) (?:over|to)", r"assign transfer\1"),
        (r"go back|roll back", "rollback revert"),
        (r"bigger|larger|smaller|more space", "resize"),
        (r"(?:tell|show|give|send) me|let me (?:see|know)", "get"),
        (r"back(?:ing)? up|keep a copy", "backup"),
        (r"as (?:a )?(?:pdf|csv|file|zip)", "download"),
        (r"right now|at the moment", "current"),
    )
)
"""What several words mean together."""


def expand_phrases(query: str) -> str:
    """Return a request in lower case, with one word for several where that is what they mean."""
    query = query.lower()
    for pattern, words in _PHRASES:
        query = pattern.sub(words, query)
    return query


def _related() -> dict[str, frozenset[str]]:
    related: dict[str, set[str]] = {}
    for line in chain(*_VERBS.values(), _NOUNS):
        group = frozenset(map(stem, line.split()))
        for word in group:
            related.setdefault(word, set()).update(group - {word})
    return {word: frozenset(others) for word, others in related.items()}


RELATED: Final = _related()
"""By the stem of a word, the stems of those that may stand for it."""


ACTIONS: Final = {
    stem(word): action
    for action, lines in reversed(_VERBS.items())
    for word in " ".join(lines).split()
}
"""By the stem of a verb, what it does; of several things, what stands first."""

METHODS: Final[dict[Action, frozenset[str]]] = {
    "read": frozenset({"GET", "QUERY"}),
    "create": frozenset({"POST", "PUT"}),
    "update": frozenset({"PUT", "PATCH", "POST"}),
    "delete": frozenset({"DELETE"}),
}
"""By an action, the methods that are likely for it (RFC 9110 §9.3)."""
