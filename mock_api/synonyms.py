"""Other words for what is asked: people say "SSO" where an article says "single sign-on".

A line of the table is one meaning: who says one of its words or phrases may mean any of the others.
"""

import re
from dataclasses import dataclass
from typing import Final

_MEANINGS: Final = """\
sso, single sign on, identity provider, saml, oidc, kerberos, azure, ldap
log in, log on, login, logon, sign in, sign on
new revision, next revision, revise, up rev, save as
save as, copy, duplicate, clone
stuck, hang, hung, stall, blocked, does not move, not move, not progress, not continue, not advance
slow, takes long, too long, long time, take minute, forever, lag, sluggish, performance, speed
bom, bill of material, product structure, structure, assembly
component, part
not edit, not editable, not modify, not change, not save, read only, write access, locked,\
 change a released, edit a released
change notice, ecn, eco, change order, engineering change
change request, ecr
problem report, pr, defect, bug, issue report
change board, ccb, board
vacation, holiday, absence, away, out of office, on leave, ill, sick, deputy, substitute, surrogate
delegate, stand in, surrogate
waiver, deviation, concession, non conforming, out of tolerance, exception
supplier, vendor, partner, contractor, external, other companies
itar, ear, export control, export controlled, controlled data
acl, access control list, access rule, access list
permission, may, allowed, privilege, access right, authorization, access
audit, electronic signature, signed, who changed, who did, who deleted, who approved, history
restore, recover, disaster, backup, lost data
install, installation, deployment center, set up a server
deploy, deployment, roll out, promote, from test to production
fms, fsc, fcc, file management system, file cache
jt, viewable, visualization, 3d preview
translate, convert, conversion, dispatcher
ebom, engineering bom, engineering structure
mbom, manufacturing bom, manufacturing structure
migrate, migration, import, bulk load, legacy
part number, item number, item id, numbering
load test, stress test, performance test, simulate users, simulate load
effectivity, valid from, valid until, phase in, phase out, serial number, unit number
exchange, send, share, hand over, plmxml
setting, preference
syslog, server log, log file
solr, search index, indexing, indexer, reindex
release, approve, approval, sign off
soa, web service, rest api, api, service interface
connect, interface, integrate, integration, sap, erp, other system
bmide, data model, custom template
subclass, subtype, derive, business object
variant, option, configurable, 150
remote, abroad, overseas, branch office, other country, other continent, wide area, wan, latency
rehearsal, dry run, trial, practise, try out
walkthrough, tutorial, step by step, example, sample
design, model, best practice, good, build
reviewer, approver, participant
reuse, avoid duplicate, same part twice, standard part, similar part, class, classification
unit of measure, uom
position number, find number, item position
freeze, frozen, snapshot, baseline, milestone
compare, comparison, difference, diff, what changed between, differ
where used, impact analysis, affected, use this part, part used, component used, used in
which assemblies use, where used
lifecycle, life, from start to end, from start to finish, state
checkout, checked out, check out, reserved, reservation
checkin, check in
cancel, undo, revert
test system, test environment, sandbox, staging, development environment
go live, after the upgrade
new version, new release, upgrade, update to, migrate to
bypass, skip, short path, fast track
metadata, attribute, property
wrong revision, which revision, latest revision, latest working, question mark, revision rule
thumbnail, preview, viewable
timeout, time out, expired
download, upload, file transfer
error, problem, fail, failure, go wrong
memory, how many server, how many user, concurrent user, capacity, sizing, hardware
password, credential, log in
catia, creo, solidworks, several cad systems, different cad systems, multi cad
roll back, rollback, revert, failed upgrade, restore
user account, new hire, user, user group
epm, handler
license, licence
catalog, catalogue, classification
user group, organisation, organization, user account, an account, new employee, new colleague
query, search, find, look up
attach, attachment, dataset, named reference
delete, remove, purge, clean up
engineer change, change a part, changing a part, change process, change notice
checklist, plan, preparation
compatible, compatibility, supported, support
notify, notification, mail, email
diagnose, troubleshoot, investigate, debug
customize, customise, customization, extend, extension
date, until, effectivity
quality, defect, inspection
assign, assignment, who gets
"""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a text says, as it says it (`"log on"`), and how others do (`"login"`, `"sign in"`)."""

    said: tuple[str, ...]
    others: tuple[str, ...]


def meanings(text: str) -> list[Meaning]:
    """Return the lines of the table of which a text has a word or a phrase."""
    roots = f" {' '.join(map(root, _words(text)))} "
    found = []
    for line in _TABLE:
        said = tuple(phrase for phrase, pattern in line if pattern.search(roots))
        if said:
            others = tuple(phrase for phrase, _ in line if phrase not in said)
            found.append(Meaning(said, others))
    return found


def root(word: str) -> str:
    """Return what the forms of a word have in common: `"assembl"` of assembly and assemblies."""
    return re.sub(r"(?<=\w{3})(?:ies|ing|ed|es|e|s|y)$", "", word)


def _words(text: str) -> list[str]:
    spelt_out = re.sub(r"n['\u2019]t\b", " not", text.lower()).replace("cannot", "can not")
    return re.findall(r"[^\W_]+", spelt_out)


def _pattern(phrase: str) -> re.Pattern[str]:
    """Return what finds a phrase among roots: its words in order, a few others between them."""
    between = r" (?:\S+ ){0,3}?"
    return re.compile(f" {between.join(map(root, _words(phrase)))} ")


_TABLE: Final = [
    [(phrase.strip(), _pattern(phrase)) for phrase in line.split(",")]
    for line in _MEANINGS.strip().splitlines()
]
