"""Requests per second against the number of workers; ``python -m benchmarks.workers [--quick]``.

uvicorn serves with one to four workers, and wrk shares the processors with them: beyond the number
of processors there is nothing to gain. What carries over to another machine is the processor time
of a request, which is measured beside it.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from benchmarks import report
from benchmarks.contending import LEGACY, MODERN, REST, Contender, ask, check
from benchmarks.figures import Figure
from benchmarks.plot import draw_workers
from benchmarks.servers import Server, free_port, wait_for_port
from benchmarks.throughput import ANSWER, ARGUMENTS, Load

RATE: Final = "Requests per second"
COST: Final = "Microseconds of processor time for a request"
WORKERS: Final = (1, 2, 4)

_CONNECTIONS: Final = 64
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_FOLDER: Final = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class _Served:
    """A contender that some workers serve, and the load for it."""

    workers: tuple[int, ...]
    load: Load

    def run(self, seconds: int) -> tuple[float, float]:
        """Return requests per second, and microseconds of the workers' time for each."""
        before = sum(map(_seconds, self.workers))
        rate = self.load.run(_CONNECTIONS, seconds)
        return rate, (sum(map(_seconds, self.workers)) - before) / (rate * seconds) * 1e6


def measure(*, quick: bool) -> Iterator[Figure]:
    """Let wrk call each contender with each number of workers, all of them in turn."""
    rounds, seconds = (1, 1) if quick else (7, 2)
    everyone: dict[str, Contender] = {each.name: each for each in (REST, MODERN, LEGACY)}
    rates: dict[tuple[str, int], list[float]] = {}
    costs: dict[tuple[str, int], list[float]] = {}
    with ExitStack() as stack, tempfile.TemporaryDirectory() as folder:
        served = {}
        for count in WORKERS:
            for module in dict.fromkeys(each.module for each in everyone.values()):
                port, workers = stack.enter_context(_serving(module, count))
                for who in everyone.values():
                    if who.module == module:
                        load = _load(who, Server(port, workers[0]), Path(folder))
                        served[who.name, count] = _Served(workers, load)
        for each in served.values():
            each.run(1)
        for _ in range(rounds):
            for key, each in served.items():
                rate, cost = each.run(seconds)
                rates.setdefault(key, []).append(rate)
                costs.setdefault(key, []).append(cost)
    for (name, count), values in rates.items():
        column = f"{count} worker{'s' if count > 1 else ''}"
        yield Figure.of(RATE, name, column, values, "requests/s")
        yield Figure.of(COST, name, column, costs[name, count], "µs")


def _load(who: Contender, server: Server, folder: Path) -> Load:
    message = ask(who, server, "get_item", ARGUMENTS)
    check(who, server, message, ANSWER)
    return Load(server.port, message, folder)


@contextmanager
def _serving(module: str, count: int) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Serve an application with `count` workers until the block ends; yield port and workers."""
    port = free_port()
    options = "--loop uvloop --http httptools --ws none --no-access-log"
    app = f"benchmarks.contenders.{module}:app"
    command = [sys.executable, "-m", "uvicorn", app, "--port", str(port), *options.split()]
    with subprocess.Popen(  # noqa: S603 - our own module
        [*command, "--workers", str(count)], stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            workers = _wait_for_workers(process, count)
            wait_for_port(port, process)
            yield port, workers
        finally:
            process.terminate()


def _wait_for_workers(process: "subprocess.Popen[str]", count: int) -> tuple[int, ...]:
    """Wait until all workers have started; return their ids."""
    if process.stderr is None:
        raise ValueError("The server's log is needed.")
    started = set[int]()
    said = ""
    for line in process.stderr:
        said += line
        if "Started server process [" in line:
            started.add(int(line.partition("[")[2].partition("]")[0]))
        if said.count("Application startup complete.") == count:
            return tuple(started)
    raise RuntimeError(f"The server did not start:\n{said}")


def _seconds(process: int) -> float:
    """Return the processor time that a process has used."""
    stat = Path(f"/proc/{process}/stat").read_text(encoding="ascii")
    user, system = stat.rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / _TICKS


def main() -> None:
    """Measure, print, and keep the figures of a whole run and their picture."""
    quick = "--quick" in sys.argv
    others = os.getloadavg()[0]
    figures = list(measure(quick=quick))
    sys.stdout.write("\n".join(report.tables(figures)))
    if not quick:
        # Where others used the machine meanwhile, the rates say less than the costs.
        machine = {"processors": os.cpu_count(), "load_before": round(others, 1)}
        results = {"machine": machine, "figures": [asdict(each) for each in figures]}
        _FOLDER.joinpath("workers.json").write_text(json.dumps(results, indent=1) + "\n", "utf-8")
        draw_workers(figures, _FOLDER)


if __name__ == "__main__":
    main()
