#!/usr/bin/env python3
"""Times a training step with one worker and with two in turn; fails where the second one gains less than is promised.

The gain is the median over the pairs of the time with one worker / the time with two, each a median of several steps. HPDLF names
another program than build/release/hpdlf. The machine should have nothing else to do.
"""
import argparse
import json
import os
import pathlib
import statistics
import sys

from compare_pytorch import BUSY_LOAD, CASES, ROOT, chosen_cases, last_json

PROMISED = {"mlperf-64": 1.85, "gpt2-1x1024": 1.85}  # row of compare_pytorch.py -> gain from 1 to 2 workers
WORKERS = (1, 2)


def measure(case, rounds, steps, run):
    """@param run(arguments) is the median time of a step in ms."""
    net, *options = case.arguments
    pairs = []
    for i in range(rounds):
        pairs.append([run([net, *options, "--threads", str(workers), "--steps", str(steps or case.steps)]) for workers in WORKERS])
        print(f"  {case.name} round {i + 1}: {pairs[-1][0]:.1f} ms with one worker, {pairs[-1][1]:.1f} with two", flush=True)
    one, two = (statistics.median(times) for times in zip(*pairs))
    return {"net": case.name, "one_ms": round(one, 1), "two_ms": round(two, 1), "gain": round(statistics.median(a / b for a, b in pairs), 3),
            "promised": PROMISED[case.name]}


def self_test():
    """The gain is the median of the pairs, not the quotient of medians; each run gets its workers."""
    times, calls = iter([30, 10, 40, 20, 90, 40]), []

    def run(arguments):
        calls.append(arguments)
        return next(times)

    case = next(case for case in CASES if case.name == "gpt2-1x1024")
    row = measure(case, 3, 7, run)
    checks = {"gain": (row["gain"], row["one_ms"], row["two_ms"]) == (2.25, 40, 20),
              "arguments": calls[1] == ["gpt2", "--batch", "1", "--seq", "1024", "--threads", "2", "--steps", "7"],
              "rows": PROMISED.keys() <= {case.name for case in CASES}}
    failed = [name for name, right in checks.items() if not right]
    print(f"check_scaling self-test: {len(checks)} checks, {len(failed)} wrong", *failed, sep="\n  " if failed else "")
    return not failed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("net", nargs="*", help=f"rows of compare_pytorch.py: {', '.join(PROMISED)}; default: all")
    parser.add_argument("--rounds", type=int, default=3, help="times that every pair is run")
    parser.add_argument("--steps", type=int, default=0, help="timed steps a run; default: the row's own")
    parser.add_argument("--self-test", action="store_true", help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.self_test:
        sys.exit(0 if self_test() else 1)
    hpdlf = pathlib.Path(os.environ.get("HPDLF", ROOT / "build/release/hpdlf"))
    if os.getloadavg()[0] > BUSY_LOAD:
        print(f"warning: other programs are running (load {os.getloadavg()[0]:.1f}): gains are not those of this machine")
    rows = [measure(case, a.rounds, a.steps, lambda more: last_json([hpdlf, "bench", "step", "--json", "--net", *more])["median_ms"])
            for case in chosen_cases(a.net) if case.name in PROMISED]
    for row in rows:
        print(json.dumps(row))
    wrong = [f"{row['net']}: {row['gain']:.2f} times as fast with two workers, promised {row['promised']}" for row in rows
             if row["gain"] < row["promised"]]
    print("\n".join(wrong) if wrong else "every promised gain is kept")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
