// All there is, in groups, and a box to search it.

// Return {search, list, status, mark}. `entries` are {kind, id, name, title, text, group, effect, badge}.
function sidebar(entries, onOpen) {
  const rows = entries.map((entry) => ({ entry, element: row(entry, onOpen), words: wordsOf(entry) }));
  const groups = new Map();
  for (const each of rows) {
    const { group } = each.entry;
    if (!groups.has(group)) groups.set(group, []);
    groups.get(group).push(each);
  }
  const sections = [...groups].map(([name, members]) => {
    const heading = name && h("h2", {}, h("b", {}, name), " ", h("span", {}, String(members.length)));
    return { members, element: h("section", { "aria-label": name || "Tools" }, heading, h("ul", {}, members.map((each) => each.element))) };
  });
  const search = h("input", { type: "search", role: "searchbox", "aria-label": "Search", placeholder: "Search tools", autocomplete: "off", spellcheck: "false" });
  const status = h("p", { class: "note", role: "status" });
  const isMixed = entries.some(({ kind }) => kind !== "tool");
  const total = isMixed ? `${rows.length} entries` : count(rows.length, "tool");
  const filter = () => {
    const wanted = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let found = 0;
    for (const { members, element } of sections) {
      const fitting = new Set(members.filter(({ words }) => wanted.every((word) => words.includes(word))));
      element.hidden = fitting.size === 0;
      found += fitting.size;
      // A group of which nothing fits is hidden as a whole: of a thousand rows few are touched.
      if (fitting.size) for (const each of members) each.element.hidden = !fitting.has(each);
    }
    status.textContent = found === rows.length ? total : `${found} of ${rows.length}`;
  };
  search.addEventListener("input", filter);
  filter();
  const list = h("div", { class: "list" }, sections.map(({ element }) => element));
  const mark = (kind, id) => {
    for (const { entry, element } of rows) {
      const isOpen = entry.kind === kind && entry.id === id;
      element.firstChild.toggleAttribute("data-open", isOpen);
      if (isOpen) element.firstChild.setAttribute("aria-current", "true");
      else element.firstChild.removeAttribute("aria-current");
      if (isOpen) element.scrollIntoView({ block: "nearest" });
    }
  };
  walkable(search, list);
  return { search, list, status, mark };
}

const wordsOf = ({ name, title, text, group, badge }) => [name, title, text, group, badge].join(" ").toLowerCase();

function row(entry, onOpen) {
  const nameId = freshId("name");
  const button = h("button", { type: "button", class: `entry ${entry.effect ?? ""}`, "aria-labelledby": nameId, click: () => onOpen(entry) },
    h("span", { class: "name", id: nameId }, entry.name),
    entry.badge && h("span", { class: "badge" }, entry.badge),
    h("span", { class: "about" }, entry.title || firstLine(entry.text)));
  return h("li", {}, button);
}

const firstLine = (text) => (text ?? "").split("\n", 1)[0].slice(0, 160);

// Let the arrow keys walk from the search box through what it found.
function walkable(search, list) {
  const step = (event) => {
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.key === "Escape" && event.target === search) {
      search.value = "";
      search.dispatchEvent(new Event("input"));
    }
    if (!by) return;
    event.preventDefault();
    const shown = [...list.querySelectorAll("section:not([hidden]) > ul > li:not([hidden]) > button")];
    const next = shown.indexOf(document.activeElement) + by;
    (next < 0 ? search : shown[Math.min(next, shown.length - 1)])?.focus();
  };
  search.addEventListener("keydown", step);
  list.addEventListener("keydown", step);
}
