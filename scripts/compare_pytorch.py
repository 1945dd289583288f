#!/usr/bin/env python3
"""Times training steps of HP-DLF and PyTorch pair by pair and keeps the table of docs/performance.md (scripts/compare_pytorch.sh).

A round runs ours and PyTorch in turn, once for each of PyTorch's modes. The best mode has the least median time; the ratio is the median
over its pairs of PyTorch's time / ours, each a median of several steps. Every kind of machine has a table of its own. The column `promised`
is a person's: it is kept, and --check fails where a ratio is below what the table of this machine promises, or the first table where this
machine has none.
"""
import argparse
import dataclasses
import datetime
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
from dataclasses import dataclass

ROOT = pathlib.Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs/performance.md"
BEGIN, END = "<!-- compare_pytorch: begin -->", "<!-- compare_pytorch: end -->"
VOLUME_MODES = ("eager", "cl", "compile")
BF16_MODES = ("bf16", "bf16,compile")  # autocast
BUSY_LOAD = 0.5  # a load before the start beyond which other programs take part in what is measured; said in the row


@dataclass
class Case:
    """A row: what is run, by both programs."""

    name: str
    arguments: tuple
    modes: tuple = VOLUME_MODES
    dtype: str = "f32"
    steps: int = 5


CASES = (
    Case("mlperf-64", ("mlperf", "--size", "64")),
    Case("mlperf-128", ("mlperf", "--size", "128"), steps=2),
    Case("cicek-64", ("cicek", "--size", "64"), steps=3),
    Case("unet3d", ("unet3d",)),
    Case("gpt2-4x64", ("gpt2", "--batch", "4", "--seq", "64"), modes=("eager", "compile")),
    Case("gpt2-1x1024", ("gpt2", "--batch", "1", "--seq", "1024"), modes=("eager", "compile"), steps=3),
    Case("mlp", ("mlp",), modes=("eager", "compile"), steps=200),
    Case("mlperf-64-bf16", ("mlperf", "--size", "64"), modes=BF16_MODES, dtype="bf16"),
    Case("mlperf-128-bf16", ("mlperf", "--size", "128"), modes=BF16_MODES, dtype="bf16", steps=2),
    Case("cicek-64-bf16", ("cicek", "--size", "64"), modes=BF16_MODES, dtype="bf16", steps=3),
    Case("unet3d-bf16", ("unet3d",), modes=BF16_MODES, dtype="bf16"),
    Case("gpt2-4x64-bf16", ("gpt2", "--batch", "4", "--seq", "64"), modes=BF16_MODES, dtype="bf16"),
    Case("gpt2-1x1024-bf16", ("gpt2", "--batch", "1", "--seq", "1024"), modes=BF16_MODES, dtype="bf16", steps=3),
)


@dataclass
class Row:
    """A line of the table; times in ms, memory in MiB."""

    name: str
    dtype: str
    ours_ms: float
    torch_ms: float
    mode: str
    ratio: float
    ours_mib: int
    torch_mib: int
    date: str  # with ", busy" if other programs were running
    promised: float | None = None

    def text(self):
        promised = "-" if self.promised is None else str(float(self.promised))
        ours, torch = (f"{ms:,.0f}" if ms >= 100 else f"{ms:.2f}" for ms in (self.ours_ms, self.torch_ms))
        return (f"| {self.name} | {self.dtype} | {ours} | {torch} ({self.mode}) | {self.ratio:.2f} | {promised} "
                f"| {self.ours_mib:,} | {self.torch_mib:,} | {self.ours_mib / self.torch_mib:.2f} | {self.date} |")


HEAD = ("| net | type | HP-DLF, ms | PyTorch's best, ms (mode) | ratio | promised | HP-DLF, MiB | PyTorch, MiB | ratio | date |\n"
        "|---|---|---|---|---|---|---|---|---|---|")
ROW = re.compile(r"\| (?P<name>[\w-]+) \| (?P<dtype>\w+) \| (?P<ours>[\d.,]+) \| (?P<torch>[\d.,]+) \((?P<mode>[\w,]+)\) \| (?P<ratio>[\d.]+) "
                 r"\| (?P<promised>-|[\d.]+) \| (?P<ours_mib>[\d,]+) \| (?P<torch_mib>[\d,]+) \| [\d.]+ \| (?P<date>[\d-]+(?:, busy)?) \|$")


@dataclass
class Table:
    machine: str  # and versions: what must be equal for rows to stand beside each other
    rows: list

    @property
    def hardware(self):
        return self.machine.split(";")[0]

    def text(self):
        return "\n".join([f"Machine: {self.machine}.", "", HEAD, *(row.text() for row in self.rows)])


def parse_row(line):
    m = ROW.match(line)
    if m is None:
        raise SystemExit(f"error: {DOCUMENT.name}: no row of the table of compare_pytorch.sh: {line}")
    ours, torch, ours_mib, torch_mib = (float(m[key].replace(",", "")) for key in ("ours", "torch", "ours_mib", "torch_mib"))
    return Row(m["name"], m["dtype"], ours, torch, m["mode"], float(m["ratio"]), int(ours_mib), int(torch_mib), m["date"],
               None if m["promised"] == "-" else float(m["promised"]))


def read_tables(document):
    if BEGIN not in document or END not in document:
        raise SystemExit(f"error: {DOCUMENT.name} has no lines `{BEGIN}` and `{END}`, between which the tables go")
    tables = []
    for line in document.split(BEGIN)[1].split(END)[0].strip().split("\n"):
        if line.startswith("Machine: "):
            tables.append(Table(line[len("Machine: "):].rstrip("."), []))
        elif line.startswith("| ") and not line.startswith("| net "):
            tables[-1].rows.append(parse_row(line))
    return tables


def write_tables(document, tables):
    before, rest = document.split(BEGIN)
    return before + "\n".join([BEGIN, "\n\n".join(table.text() for table in tables), END]) + rest.split(END)[1]


def merged(tables, new):
    """`tables` with the new rows in the place of those of their names in the table of that hardware; the promises are kept."""
    old = next((table for table in tables if table.hardware == new.hardware), Table(new.machine, []))
    kept = {row.name: row for row in old.rows}
    for row in new.rows:
        kept[row.name] = dataclasses.replace(row, promised=kept[row.name].promised if row.name in kept else None)
    left = [name for name in kept if name not in {row.name for row in new.rows}]
    if left and old.machine != new.machine:
        raise SystemExit(f"error: the rows {', '.join(left)} of {DOCUMENT.name} are of other versions ({old.machine}), not of "
                         f"{new.machine}: measure all nets")
    order = [case.name for case in CASES]
    rows = sorted(kept.values(), key=lambda row: order.index(row.name) if row.name in order else len(order))
    result = Table(new.machine, rows)
    return [result if table is old else table for table in tables] + ([] if old in tables else [result])


def promises_for(tables, machine):
    """Row -> ratio: of this hardware, if its table promises anything, or of the first table without the rows that need instructions this
    machine lacks."""
    own = next((table for table in tables if table.hardware == Table(machine, []).hardware
                and any(row.promised is not None for row in table.rows)), None)
    rows = (own or tables[0]).rows
    has_bf16 = own is not None or any(word in machine for word in ("bf16", "AMX"))
    return {row.name: row.promised for row in rows if row.promised is not None and (has_bf16 or row.dtype != "bf16")}


def broken_promises(rows, promised):
    return [f"{row.name}: ratio {row.ratio:.2f}, promised {promised[row.name]:g}" for row in rows
            if promised.get(row.name) is not None and row.ratio < promised[row.name]]


def measure(case, rounds, ours, torch, date):
    """@param ours() and torch(mode) run one program and return its JSON line."""
    pairs = {mode: [] for mode in case.modes}
    for i in range(rounds):
        for mode in case.modes:
            pair = ours(), torch(mode)
            pairs[mode].append(pair)
            print(f"  {case.name} round {i + 1}: ours {pair[0]['median_ms']:.2f} ms, PyTorch {mode} {pair[1]['median_ms']:.2f} ms", flush=True)
    all_ours = [a for list_ in pairs.values() for a, _ in list_]
    for _, b in (pair for list_ in pairs.values() for pair in list_):
        if b["params"] != all_ours[0]["params"]:
            raise SystemExit(f"error: {case.name}: {all_ours[0]['params']} parameters here, {b['params']} in PyTorch: not the same net")
    best = min(case.modes, key=lambda mode: statistics.median(b["median_ms"] for _, b in pairs[mode]))
    return Row(case.name, case.dtype, statistics.median(a["median_ms"] for a in all_ours),
               statistics.median(b["median_ms"] for _, b in pairs[best]), best,
               statistics.median(b["median_ms"] / a["median_ms"] for a, b in pairs[best]),
               max(a["peak_rss_mib"] for a in all_ours), min(b["peak_rss_mib"] for _, b in pairs[best]), date)


def last_json(command):
    result = subprocess.run(command, capture_output=True, text=True)
    lines = [line for line in result.stdout.split("\n") if line.startswith("{")]
    if result.returncode != 0 or not lines:
        raise SystemExit(f"error: {' '.join(map(str, command))} ended with code {result.returncode}\n{result.stderr[-3000:]}")
    return json.loads(lines[-1])


def processor_text(information):
    """The processor's name in the text of /proc/cpuinfo. Virtual machines call all EPYCs the same, and one of Zen 5 is another machine
    than one of Zen 4."""
    name = re.search(r"model name\s*: (.*)", information)
    is_zen5 = re.search(r"vendor_id\s*: AuthenticAMD", information) and re.search(r"cpu family\s*: 26\b", information)
    return (name[1] if name else "unknown processor") + (" (Zen 5)" if is_zen5 else "")


def machine_text(threads, hpdlf, torch_python):
    information = pathlib.Path("/proc/cpuinfo").read_text()
    flags = set(re.search(r"flags\s*: (.*)", information)[1].split())
    simd = next((text for flag, text in (("amx_tile", "AMX"), ("avx512_bf16", "AVX-512 with bf16"), ("avx512f", "AVX-512"), ("avx2", "AVX2"))
                 if flag in flags), "no AVX2")
    torch = subprocess.run([torch_python, "-c", "import torch; print(torch.__version__)"], capture_output=True, text=True, check=True)
    version = subprocess.run([hpdlf, "--version"], capture_output=True, text=True, check=True)
    return f"{processor_text(information)}, {threads} threads, {simd}; {version.stdout.strip()}, PyTorch {torch.stdout.strip()}"


def parse_arguments():
    parser = argparse.ArgumentParser(prog="compare_pytorch.sh", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
                                     epilog="rows: " + ", ".join(case.name for case in CASES))
    parser.add_argument("net", nargs="*", help="rows, or the net of several; default: all")
    parser.add_argument("--rounds", type=int, default=3, help="times that every pair is run")
    parser.add_argument("--steps", type=int, default=0, help="timed steps a run; default: the row's own")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a ratio is below what the table promises")
    parser.add_argument("--dry-run", action="store_true", help="write nothing")
    parser.add_argument("--hpdlf", type=pathlib.Path, default=ROOT / "build/release/hpdlf", help="the program")
    parser.add_argument("--torch-python", default=sys.executable, help="a Python that has torch")
    parser.add_argument("--self-test", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def chosen_cases(names):
    def meant(name):
        """The row of that name, else those of the net."""
        found = [case for case in CASES if case.name == name] or [case for case in CASES if case.name.startswith(name + "-")]
        if not found:
            raise SystemExit(f"error: there is no row `{name}`; the rows are {', '.join(case.name for case in CASES)}")
        return found

    chosen = [case for name in names for case in meant(name)]
    return [case for case in CASES if not names or case in chosen]


def main():
    a = parse_arguments()
    if a.self_test:
        sys.exit(0 if self_test() else 1)
    cases = chosen_cases(a.net)
    machine = machine_text(a.threads, a.hpdlf, a.torch_python)
    tables = read_tables(DOCUMENT.read_text())
    if a.check:
        promised = promises_for(tables, machine)
        cases = [case for case in cases if case.name in promised]
        if not cases:
            raise SystemExit(f"error: {DOCUMENT.name} promises nothing for these rows on {machine}")
    date, load = datetime.date.today().isoformat(), os.getloadavg()[0]
    if load > BUSY_LOAD:
        date += ", busy"
        print(f"warning: other programs are running (load {load:.1f}): times, and ratios too, are not those of this machine")
    rows = []
    for case in cases:
        more = ("--threads", str(a.threads), "--steps", str(a.steps or case.steps))
        net, *options = case.arguments
        rows.append(measure(case, a.rounds,
                            lambda: last_json([a.hpdlf, "bench", "step", "--net", net, *options, "--dtype", case.dtype, "--json", *more]),
                            lambda mode: last_json([a.torch_python, ROOT / "scripts/torch_bench.py", net, mode, *options, *more]), date))
    print(Table(machine, rows).text())
    if a.check:
        broken = broken_promises(rows, promised)
        print("\n".join(["", *broken] if broken else ["", "every promised ratio is kept"]))
        sys.exit(1 if broken else 0)
    if not a.dry_run:
        document = DOCUMENT.read_text()  # someone may have edited it in the meantime
        DOCUMENT.write_text(write_tables(document, merged(read_tables(document), Table(machine, rows))))
        print(f"\n{DOCUMENT.relative_to(ROOT)} is written")


def self_test():
    """The table is read as it was written, rows are replaced by name, and a broken promise is found."""
    def line(ms, mib, params=5):
        return {"median_ms": ms, "peak_rss_mib": mib, "params": params}

    row_a = Row("mlp", "f32", 1.25, 2.5, "eager", 2.0, 40, 1400, "2026-01-02", 1.8)
    row_b = Row("mlperf-64", "f32", 12345.0, 1.5e4, "cl", 1.22, 1784, 1699, "2026-01-02, busy")
    document = write_tables(f"before\n{BEGIN}\n{END}\nafter\n", [Table("one, 2 threads; 1.0", [row_b, row_a])])
    old = read_tables(document)
    ours, theirs = iter([10, 20, 10, 20]), {"eager": iter([30, 50]), "compile": iter([25, 24])}
    case = Case("mlp", ("mlp",), modes=("eager", "compile"))
    measured = measure(case, 2, lambda: line(next(ours), 100), lambda mode: line(next(theirs[mode]), 200), "2026-03-04")
    new = merged(old, Table("one, 2 threads; 1.0", [measured]))
    both = merged(old, Table("two; 1.0", [measured]))
    bf16 = Row("mlp-bf16", "bf16", 1.0, 2.0, "bf16", 2.0, 40, 1400, "2026-01-02", 1.7)

    def fails(action):
        try:
            action()
        except SystemExit:
            return True
        return False

    checks = {
        "read back": write_tables(document, old) == document and old[0].rows[1].promised == 1.8 and old[0].rows[0].promised is None,
        "two tables": write_tables(document, read_tables(write_tables(document, both))) == write_tables(document, both),
        "text around them": write_tables(document, new).startswith("before\n") and write_tables(document, new).endswith("\nafter\n"),
        "best mode, median of its pairs": (measured.mode, measured.torch_ms, measured.ratio) == ("compile", 24.5, (25 / 20 + 24 / 20) / 2),
        "date": (old[0].rows[0].date, new[0].rows[1].date) == ("2026-01-02, busy", "2026-03-04"),
        "memory": (measured.ours_mib, measured.torch_mib) == (100, 200),
        "replaced by name": [[r.name for r in table.rows] for table in new] == [["mlperf-64", "mlp"]],
        "promise kept": (new[0].rows[1].ratio, new[0].rows[1].promised) == (measured.ratio, 1.8),
        "another machine": [[r.name for r in table.rows] for table in both] == [["mlperf-64", "mlp"], ["mlp"]],
        "broken promise": broken_promises([measured], {"mlp": 1.8}) == ["mlp: ratio 1.23, promised 1.8"],
        "kept promise": broken_promises([measured], {"mlp": 1.2}) == [],
        "own promises": promises_for([Table("a; 1", [row_a]), Table("b; 1", [bf16])], "b; 2") == {"mlp-bf16": 1.7},
        "own table without promises": promises_for([Table("a; 1", [row_a, bf16]), Table("b; 1", [row_b])], "b; 2") == {"mlp": 1.8},
        "promises of another machine": promises_for([Table("a; 1", [row_a, bf16])], "b, AVX2; 1") == {"mlp": 1.8},
        "its bf16": promises_for([Table("a; 1", [row_a, bf16])], "b, AVX-512 with bf16; 1") == {"mlp": 1.8, "mlp-bf16": 1.7},
        "a row": [c.name for c in chosen_cases(["mlperf-64"])] == ["mlperf-64"],
        "a net's rows": [c.name for c in chosen_cases(["gpt2-4x64-bf16", "cicek"])] == ["cicek-64", "cicek-64-bf16", "gpt2-4x64-bf16"],
        "another version": fails(lambda: merged(old, Table("one, 2 threads; 2.0", [measured]))),
        "another net": fails(lambda: measure(case, 1, lambda: line(1, 1), lambda mode: line(1, 1, params=6), "")),
        "whole promise": "| 3.0 |" in dataclasses.replace(row_a, promised=3.0).text(),
        "generations of a name": [processor_text(f"vendor_id\t: {vendor}\ncpu family\t: {family}\nmodel name\t: X") for vendor, family
                                  in (("AuthenticAMD", 26), ("AuthenticAMD", 25), ("GenuineIntel", 26))] == ["X (Zen 5)", "X", "X"],
        "bad row": fails(lambda: parse_row("| mlp | f32 | fast |")),
    }
    wrong = [name for name, right in checks.items() if not right]
    print(f"compare_pytorch self-test: {len(checks)} checks, {len(wrong)} wrong", *wrong, sep="\n  " if wrong else "")
    return not wrong


if __name__ == "__main__":
    main()
