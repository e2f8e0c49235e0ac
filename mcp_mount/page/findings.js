// What `mcp-mount check` finds: of the list, and of each tool, with what to do about it.

const MOST_NAMED = 50;
const LEVELS = { error: ["Error", "Calls fail, or do harm."], warning: ["Warning", "A model chooses, fills in or reads it badly."] };
const HUES = { A: "good", B: "good", C: "fair", D: "bad", F: "bad" };

// Return a grade as a letter in its colour.
const gradeMark = (grade) => h("span", { class: `grade ${HUES[grade]}` }, grade);

// Put what `make` returns in the place of an element once the findings are there: a long list takes
// the server a while to check. Where there are none, nothing is told but a problem, with `says`.
function whenFound(findings, place, make, says = () => null) {
  findings.then((found) => {
    const shown = found?.problem ? says(found.problem) : found && make(found);
    place.replaceWith(...(shown ? [shown] : []));
  });
  return place;
}

// Return the findings of one tool.
function findingsOfTool(found, name) {
  const own = found.tools.find((each) => each.name === name);
  if (!own?.findings.length) return null;
  const rows = own.findings.map(({ rule, level, message, advice }) =>
    h("li", { class: `finding ${level}` },
      h("div", { class: "row-head" },
        levelMark(level), h("code", { class: "rule" }, rule),
        h("span", { class: "what" }, message), h("span", { class: "hint" }, advice))));
  return h("section", { class: "findings", "aria-label": "Findings", tabindex: "-1" },
    h("h3", {}, "Findings"), h("ul", {}, rows));
}

// Return the grade of one tool among its facts; it leads to what was found.
function gradeOfTool(found, name) {
  const own = found.tools.find((each) => each.name === name);
  if (!own) return null;
  const told = own.findings.length ? count(own.findings.length, "finding") : "nothing to mend";
  const show = (event) => {
    const section = event.target.closest(".view").querySelector(".findings");
    section?.scrollIntoView({ block: "center", behavior: "smooth" });
    section?.focus({ preventScroll: true });
  };
  const inner = ["Grade ", gradeMark(own.grade), ` · ${told}`];
  return h("li", { class: "graded" }, own.findings.length ? h("button", { type: "button", click: show }, inner) : inner);
}

// Return all findings, a row for each rule, with the tools in which it found something.
function findingsOfAll(found) {
  const groups = new Map();
  const add = (tool) => (finding) => {
    if (!groups.has(finding.rule)) groups.set(finding.rule, { ...finding, places: [] });
    groups.get(finding.rule).places.push({ tool, message: finding.message });
  };
  found.findings.forEach(add(""));
  for (const tool of found.tools) tool.findings.forEach(add(tool.name));
  const order = ({ level, places }) => (level === "error" ? -1e6 : 0) - places.length - (places[0].tool ? 0 : 1e5);
  const rows = [...groups.values()].sort((one, other) => order(one) - order(other)).map(ruleRow);
  const quiet = found.silenced ? ` ${count(found.silenced, "finding")} silenced.` : "";
  return h("section", { class: "findings", "aria-label": "Findings" },
    h("h2", {}, "Findings"),
    h("p", { class: "note" }, rows.length ? `What makes a model choose, fill in or read tools badly.${quiet}` : `Nothing: a model finds its way.${quiet}`),
    rows.length > 0 && h("ul", {}, rows));
}

function ruleRow({ rule, level, advice, places }) {
  const isOfList = !places[0].tool;
  const head = [
    levelMark(level),
    h("code", { class: "rule" }, rule),
    h("span", { class: "note where" }, isOfList ? "the list" : count(places.length, "tool")),
    isOfList && h("span", { class: "what" }, places[0].message),
    h("span", { class: "hint" }, advice),
  ];
  if (isOfList) return h("li", { class: `finding ${level}` }, h("div", { class: "row-head" }, head));
  const details = h("details", {}, h("summary", { class: "row-head" }, head));
  details.addEventListener("toggle", () => details.append(placesOf(places)), { once: true });
  return h("li", { class: `finding ${level}` }, details);
}

function placesOf(places) {
  const more = places.length - MOST_NAMED;
  return h("ul", { class: "places" },
    places.slice(0, MOST_NAMED).map(({ tool, message }) =>
      h("li", {}, h("a", { class: "mono", href: addressOf({ kind: "tool", id: tool }) }, tool), h("span", { class: "hint" }, message))),
    more > 0 && h("li", { class: "note" }, `and ${count(more, "more tool")}: mcp-mount check names them all.`));
}

const levelMark = (level) => h("span", { class: "level", title: LEVELS[level][1] }, LEVELS[level][0]);
