// A button that sends a request, one that cancels it, and the region in which its answer is shown.

const REFUSALS = {
  401: "This server does not know who you are. Enter a key or token under “Key”.",
  403: "This server refuses the call.",
  413: "The arguments are larger than this server takes.",
};

// Return {element, region, run}. `make` returns the params of the request, or fails with what to mend.
function caller({ label, method, make, schema }) {
  const { region, show, figures, body } = resultRegion();
  let running = null;
  const button = h("button", { type: "submit", class: "primary" }, label);
  const cancel = h("button", { type: "button", hidden: true, click: () => running?.abort() }, "Cancel");

  async function run(answers = {}) {
    if (running) return;
    const controller = (running = new AbortController());
    const exchange = {};
    const stream = liveStream();
    const started = performance.now();
    button.disabled = true;
    cancel.hidden = false;
    figures.textContent = "";
    body.replaceChildren();
    region.setAttribute("aria-busy", "true");
    show("running", "Running …");
    region.scrollIntoView({ block: "nearest", behavior: "smooth" });
    const onProgress = (progress) => {
      if (!stream.element.isConnected) body.replaceChildren(stream.element);
      show("running", "Arriving …");
      stream.add(progress);
    };
    try {
      const params = { ...(await make()), ...answers };
      const answer = await send(method, params, { schema, onProgress, exchange, signal: controller.signal });
      finish(answer, exchange, started);
    } catch (failed) {
      stream.draw();
      explain(failed, controller.signal.aborted, stream);
    } finally {
      running = null;
      button.disabled = false;
      cancel.hidden = true;
      region.removeAttribute("aria-busy");
      if (exchange.sent) body.append(rawMessages(exchange));
    }
  }

  function finish({ result, error }, exchange, started) {
    const took = Math.round(performance.now() - started);
    const spent = took < 1000 ? `${took} ms` : `${(took / 1000).toFixed(1)} s`;
    figures.textContent = `${spent} · ${size(exchange.bytes)}`;
    if (error) {
      show("error", "Protocol error");
      body.replaceChildren(part(`Code ${error.code}`, block(error.message)));
    } else if (result.resultType === "input_required") {
      show("running", "It asks you first");
      body.replaceChildren(...questions(result, run));
    } else {
      figures.textContent += ` · ${about(resultTokens(result))}`;
      show(result.isError ? "error" : "done", result.isError ? "Error" : "Done");
      const parts = method === "prompts/get" ? promptParts(result) : contentOf(result);
      body.replaceChildren(...parts);
    }
  }

  function explain(failed, aborted, stream) {
    if (aborted) {
      show("cancelled", "Cancelled");
      if (!stream.element.isConnected) body.replaceChildren(h("p", { class: "note" }, "The server was told to stop."));
      return;
    }
    if (failed instanceof Refused) show("error", `Refused · HTTP ${failed.status}`);
    else show("error", "Not sent");
    const advice = failed instanceof Refused ? REFUSALS[failed.status] : null;
    body.replaceChildren(advice ? h("p", {}, advice) : "", failed.message ? block(failed.message) : "");
  }

  return { element: h("div", { class: "actions" }, button, cancel), region, run };
}

// Return the questions that a server asks before it goes on, with a way to answer them.
function questions(result, run) {
  const asked = Object.entries(result.inputRequests ?? {});
  const forms = asked.map(([key, { params = {} }]) => ({
    key,
    message: params.message ?? "",
    // With numbers that can be compared.
    form: argumentsForm(JSON.parse(JSON.stringify(params.requestedSchema ?? {}))),
    isEmpty: !Object.keys(params.requestedSchema?.properties ?? {}).length,
  }));
  const answer = async (action) => {
    const inputResponses = {};
    for (const { key, form } of forms)
      inputResponses[key] = action === "accept" ? { action, content: await form.read() } : { action };
    run({ inputResponses, requestState: result.requestState });
  };
  return [
    forms.map(({ message, form, isEmpty }) => [h("p", { class: "question" }, message), isEmpty ? null : form.body]),
    h("div", { class: "actions" },
      h("button", { type: "button", class: "primary", click: () => answer("accept") }, "Go on"),
      h("button", { type: "button", click: () => answer("decline") }, "Do not")),
  ].flat(3).filter(Boolean);
}

function promptParts(result) {
  return (result.messages ?? []).map(({ role, content }) =>
    h("div", { class: "part" }, h("div", { class: "part-head" }, h("span", {}, role)), contentBlock(content)));
}
