"""The command line: settings in any order, help that is right, plans that do not fit, and output that nobody reads.

usage: command_line_test.py HPDLF SOURCE_DIR [unittest arguments]       standard library only
"""
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import unittest

from program import HPDLF
from workspace import Workspace


@contextlib.contextmanager
def unread_pipe():
    """A pipe to write to, whose reader has gone."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        yield writer
    finally:
        os.close(writer)


class Settings(Workspace):
    def test_takes_settings_before_and_after_the_configuration(self):
        for order in (["--set", "train.batch=2", "--set", "run.name=x", "small.toml"], ["small.toml", "--set", "train.batch=2", "--set", "run.name=x"],
                      ["--set", "train.batch=2", "small.toml", "--set", "run.name=x"]):
            # An unknown key ends it before anything is read: all keys were taken, and this one is the only one unknown.
            self.fails("train", *order, "--set", "no.key=1", say=["error: --set no.key=1: unknown key"])
            self.fails("plan", *order, "--set", "no.key=1", say=["error: --set no.key=1: unknown key"])
        self.fails("predict", "--set", "train.batch=2", "nowhere", "image.nii.gz", "-o", "out.nii.gz", say=["nowhere"])

    def test_help_shows_keys_that_exist(self):
        help = "".join(self.hpdlf(*command, "--help").stdout for command in ([], ["train"], ["predict"], ["plan"]))
        examples = sorted(set(re.findall(r"--set ([a-z_.]+=[^\s;]+)", help)))
        self.assertGreater(len(examples), 3, help)

        # All unknown keys are listed before anything is read.
        error = self.hpdlf("train", "small.toml", *[a for e in (*examples, "no.key=1") for a in ("--set", e)], ok=False).stderr
        self.assertEqual(re.findall(r"--set (\S+)=", error), ["no.key"], error)


class Plans(Workspace):
    def test_plans_beside_strategies_that_do_not_fit(self):
        peaks = [r["predicted_peak_mib"] for r in json.loads(self.hpdlf("plan", "small.toml", "--json").stdout)]
        limit = (min(peaks) + max(peaks)) / 2
        limited = ("plan", "small.toml", "--set", f"plan.memory_gib={limit / 1024:.9f}", "-o", "plan.json")

        rows = json.loads(self.hpdlf(*limited, "--json").stdout)

        self.assertEqual([r["fits"] for r in rows], [r["predicted_peak_mib"] <= limit for r in rows], rows)
        self.assertTrue(rows[0]["fits"] and not all(r["fits"] for r in rows), rows)
        self.assertRegex(self.hpdlf(*limited).stdout, r"does not fit: [0-9.]+ MiB of [0-9.]+ that may be used")
        self.assertEqual(json.loads((self.path / "plan.json").read_text())["format"], "hpdlf-plan")


class UnreadOutput(Workspace):
    def test_goes_on_and_saves_when_nobody_reads_what_it_says(self):
        with unread_pipe() as pipe:
            process = subprocess.Popen([HPDLF, "train", "small.toml", "--set", "train.steps=100000", "--set", "run.name=unread"],
                                       cwd=self.path, stdout=pipe, stderr=pipe)
        deadline = time.time() + 120
        while not list((self.path / "runs/unread").glob("snapshots/0*")) and process.poll() is None and time.time() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)

        self.assertEqual(process.wait(timeout=120), 130)
        self.assertTrue(json.loads((self.path / "runs/unread/summary.json").read_text())["interrupted"])

    def test_ends_without_a_word_when_nobody_reads_the_reference(self):
        with unread_pipe() as pipe:
            result = subprocess.run([HPDLF, "ops"], stdout=pipe, stderr=subprocess.PIPE, timeout=60)
        self.assertEqual((result.returncode, result.stderr), (-signal.SIGPIPE, b""))


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]], verbosity=2)
