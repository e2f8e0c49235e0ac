# Everything a person or a CI job runs. A fresh machine needs python3 (3.11 or newer, with venv) and make.

PYTHON ?= python3
PORT ?= 8000
ARGS ?=
SEED ?= 1
REQUESTS ?= 100000
ANSWERS ?= 10000
RETRIEVAL ?= ../shared/retrieval

VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
# A Python that was named has an environment of its own: the usual one stays as it is.
VENV := .venv$(if $(filter-out python3,$(PYTHON)),-$(VERSION))
BIN := $(VENV)/bin
# What the demo needs; and that with all that the other targets need. Named after the version, so
# that a newer python3 makes the environment anew.
DEMO := $(VENV)/.demo-$(VERSION)
STAMP := $(VENV)/.installed-$(VERSION)
# The suite brings 240 MB, a Node of its own among them: kept for all checkouts.
CONFORMANCE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/mcp-mount/conformance-0.2.0-alpha.12
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run test test-lowest environments faults servers fuzz conformance interop retrieval page bench bench-workers have-wrk docs check format openapi wheel constraints clean scale scale-litellm

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s  %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  PYTHON=python3.12 chooses the Python, PORT=9000 the port, ARGS='-k chat' the tests."

run: $(DEMO) ## Serve the demo with its MCP endpoint at http://localhost:8000/mcp
	@# The demo writes its own access log, so uvicorn's would say everything twice. A request that
	@# does not hear that its client has gone would hold up Ctrl+C.
	@exec $(BIN)/uvicorn mock_api.main:app --port $(PORT) --no-access-log --timeout-graceful-shutdown 2

test: $(STAMP) ## Run the tests
	@$(BIN)/python -m pytest -rs -n auto $(ARGS)

test-lowest: .venv-lowest/.installed-$(VERSION) ## Run the tests with the oldest versions that the bounds allow
	@.venv-lowest/bin/python -m pytest -rs -n auto $(ARGS)

faults: $(STAMP) ## Run the tests of what dies, misbehaves, comes in crowds or takes long
	@$(BIN)/python -m pytest -rs -n auto -m faults $(ARGS)

servers: .venv-servers/.installed-$(VERSION) ## Run an app in four processes under each server, and behind nginx
	@.venv-servers/bin/python -m pytest -rs -m faults tests/servers $(ARGS)

environments: .venv-servers/.installed-$(VERSION) .venv-lowest/.installed-$(VERSION) ## Make those of `servers` and `test-lowest`

fuzz: $(STAMP) ## Send 100,000 hostile requests, and get 10,000 hostile answers (SEED=1 repeats a run)
	@$(BIN)/python -m tests.fuzz --seed $(SEED) --requests $(REQUESTS) 2>/dev/null
	@$(BIN)/python -m tests.foreign --seed $(SEED) --answers $(ANSWERS) 2>/dev/null

retrieval: $(STAMP) ## Print how often the search finds the right tool (RETRIEVAL=folder)
	@[ -f "$(RETRIEVAL)/score.py" ] || { \
	  echo "The requests to search for are not at $(RETRIEVAL): put that folder beside the checkout, or name it with RETRIEVAL=" >&2; exit 1; }
	@PYTHONPATH=. $(BIN)/python "$(RETRIEVAL)/score.py" benchmarks/retrieval.py $(ARGS) | $(BIN)/python -m json.tool

conformance: $(STAMP) $(CONFORMANCE)/.installed ## Run the official MCP conformance suite (needs npm)
	@$(BIN)/python -W ignore -m tests.conformance $(CONFORMANCE)

interop: $(STAMP) ## Try clients, servers and APIs of others, and write docs/clients.md and docs/servers.md (needs npm)
	@$(BIN)/python -m tests.interop $(ARGS)

page: .venv-page/.installed-$(VERSION) ## Try the page in a browser (needs chromium)
	@.venv-page/bin/python -m pytest -m slow tests/page $(ARGS)

check: $(STAMP) ## Check format, lint and types
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy

format: $(STAMP) ## Format the code and fix what can be fixed safely
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

openapi: $(STAMP) ## Export the demo's OpenAPI document to openapi.json
	@$(BIN)/python -c 'import json, pathlib; from mock_api.main import app; pathlib.Path("openapi.json").write_text(json.dumps(app.openapi(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")'

docs: $(STAMP) .venv-docs/.installed-$(VERSION) ## Write docs/reference.md, and build the documentation into site/
	@PYTHONPATH=. $(BIN)/python -m tests.reference
	@NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --quiet --strict
	@echo "site/index.html; .venv-docs/bin/mkdocs serve shows it as you write"

wheel: $(STAMP) ## Build the wheel into dist/
	@$(PIP) wheel --no-deps --no-build-isolation --wheel-dir dist .
	@ls dist/*.whl

scale: .venv-scale/.installed-$(VERSION) ## List and call TiTiler and an app of 1,000 routes
	@.venv-scale/bin/python -m pytest -m slow -k 'not litellm' tests/scale $(ARGS)

scale-litellm: .venv-scale-litellm/.installed-$(VERSION) ## List and call LiteLLM's 996 operations
	@.venv-scale-litellm/bin/python -m pytest -m slow -k litellm tests/scale $(ARGS)

bench: have-wrk .venv-bench/.installed-$(VERSION) .venv-peers/.installed-$(VERSION) ## Measure speed and memory beside REST and peers
	@.venv-bench/bin/python -m benchmarks $(if $(QUICK),--quick) $(ARGS)

bench-workers: have-wrk .venv-bench/.installed-$(VERSION) ## Measure requests per second against workers
	@.venv-bench/bin/python -m benchmarks.workers $(if $(QUICK),--quick)

have-wrk:
	@command -v wrk >/dev/null || { \
	  echo "wrk is needed, which makes the requests; on Debian or Ubuntu: sudo apt install wrk" >&2; exit 1; }

# The oldest Python needs the most packages: its list serves the newer ones too.
constraints: ## Write constraints.txt anew with the newest versions the bounds allow
	@[ "$(VERSION)" = 3.11 ] || { echo "constraints.txt is written with Python 3.11: make PYTHON=python3.11 constraints" >&2; exit 1; }
	@fresh=$$(mktemp -d) && trap 'rm -rf "$$fresh"' EXIT && $(PYTHON) -m venv "$$fresh" && \
	  "$$fresh/bin/pip" --disable-pip-version-check --quiet install -e '.[demo,dev,examples]' && \
	  "$$fresh/bin/pip" --disable-pip-version-check freeze --exclude-editable >"$$fresh/constraints.txt" && \
	  LC_ALL=C sort -f -t= -k1,1 "$$fresh/constraints.txt" >constraints.txt

clean: ## Remove the environments, the caches and what was built
	@rm -rf .venv .venv-* dist site .hypothesis .mypy_cache .pytest_cache .ruff_cache
	@find benchmarks mcp_mount mock_api tests -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# An environment of another Python, or one whose making was interrupted, is made again.
$(DEMO): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "Python 3.11 or newer is needed; $(PYTHON) is $(or $(VERSION),not found). Name another one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@[ "$$($(BIN)/python -c 'import pip, sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)" = "$(VERSION)" ] || { \
	  echo "Setting up $(VENV) with Python $(VERSION) (once, about half a minute)"; \
	  $(PYTHON) -m venv --clear $(VENV) || { rm -rf $(VENV); \
	    echo "Python's venv module is incomplete; on Debian or Ubuntu: apt install python3-venv" >&2; exit 1; }; }
	@$(PIP) install -c constraints.txt -e '.[demo]'
	@touch $@

$(STAMP): $(DEMO)
	@$(PIP) install -c constraints.txt -e '.[demo,dev,examples]'
	@touch $@

# Of a package that both files name, the first line counts.
.venv-lowest/.installed-$(VERSION): pyproject.toml constraints.txt constraints-lowest.txt
	@$(PYTHON) -m venv --clear $(@D)
	@awk -F == '!seen[tolower($$1)]++' constraints-lowest.txt constraints.txt >$(@D)/constraints.txt
	@$(@D)/bin/python -m pip --disable-pip-version-check --quiet install -c $(@D)/constraints.txt -e '.[demo,dev]'
	@touch $@

$(CONFORMANCE)/.installed:
	@command -v npm >/dev/null || { \
	  echo "npm is needed, which installs the suite; on Debian or Ubuntu: sudo apt install npm" >&2; exit 1; }
	@mkdir -p $(@D)
	@npm install --silent --no-audit --no-fund --prefix $(@D) node@22 @modelcontextprotocol/conformance@0.2.0-alpha.12
	@touch $@

# Foreign applications bring a hundred packages each, and run here with the versions we are tested
# with. TiTiler 2.4 accepts them all.
.venv-scale/.installed-$(VERSION): $(STAMP)
	@$(PYTHON) -m venv --clear $(@D)
	@$(@D)/bin/python -m pip --disable-pip-version-check --quiet install -c constraints.txt -e '.[demo,dev]' titiler.application==2.4.0
	@touch $@

# LiteLLM 1.106 accepts our FastAPI, Starlette, MCP SDK and FastMCP, but asks for older releases of
# three packages that FastMCP takes in either, and of the client that only the demo needs.
.venv-scale-litellm/.installed-$(VERSION): $(STAMP)
	@$(PYTHON) -m venv --clear $(@D)
	@grep -vE '^(rich|websockets|importlib_metadata|openai)==' constraints.txt >$(@D)/constraints.txt
	@$(@D)/bin/python -m pip --disable-pip-version-check --quiet install -c $(@D)/constraints.txt -e '.[dev]' 'litellm[proxy]==1.106.2'
	@touch $@

# Playwright drives the Chromium that the machine has.
.venv-page/.installed-$(VERSION): pyproject.toml constraints.txt tests/page/requirements.txt
	@$(PYTHON) -m venv --clear $(@D)
	@$(@D)/bin/python -m pip --disable-pip-version-check --quiet install -c constraints.txt -e '.[demo,dev]' -r tests/page/requirements.txt
	@touch $@

.venv-servers/.installed-$(VERSION): pyproject.toml constraints.txt tests/servers/requirements.txt
	@$(PYTHON) -m venv --clear $(@D)
	@$(@D)/bin/python -m pip --disable-pip-version-check --quiet install -c constraints.txt -e '.[demo,dev]' -r tests/servers/requirements.txt
	@touch $@

# The server of the benchmarks brings uvloop, which the tests do without.
.venv-bench/.installed-$(VERSION): pyproject.toml constraints.txt benchmarks/requirements.txt
	@$(PYTHON) -m venv --clear $(@D)
	@$(@D)/bin/python -m pip --disable-pip-version-check --quiet install -c constraints.txt -e '.[demo,rate-limit]' -r benchmarks/requirements.txt
	@touch $@

# What makes the site needs nothing of the package, and brings thirty packages.
.venv-docs/.installed-$(VERSION): docs/requirements.txt
	@$(PYTHON) -m venv --clear $(@D)
	@$(@D)/bin/python -m pip --disable-pip-version-check --quiet install -r docs/requirements.txt
	@touch $@

# fastapi-mcp beside the same FastAPI and uvicorn, but with the MCP SDK that it starts with.
.venv-peers/.installed-$(VERSION): constraints.txt benchmarks/requirements-peers.txt
	@$(PYTHON) -m venv --clear $(@D)
	@grep -vE '^mcp(-types)?==' constraints.txt >$(@D)/constraints.txt
	@$(@D)/bin/python -m pip --disable-pip-version-check --quiet install -c $(@D)/constraints.txt -r benchmarks/requirements-peers.txt
	@touch $@
