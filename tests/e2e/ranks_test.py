"""The program on two ranks: what they share, and what is said when one of them ends.

usage: HPDLF_MPIEXEC=mpirun ranks_test.py HPDLF SOURCE_DIR [unittest arguments]       standard library only
"""
import json
import os
import re
import signal
import subprocess
import sys
import unittest

from program import HPDLF
from workspace import Workspace


class Ranks(Workspace):
    LAUNCHER = (os.environ.get("HPDLF_MPIEXEC", "mpirun"), "-n", "2", "--oversubscribe", "--bind-to", "none")

    def test_say_what_is_wrong_before_the_first_step(self):
        self.train("train.steps=2")

        said = self.hpdlf("train", "--resume", "runs/run", "--set", "network.filters=8,16", "--set", "train.steps=3", ok=False).stderr

        self.assertRegex(said, r'(?m)^error on rank [01]: .*parameter "inp.0.0.weight" is f32\[4,3,3,3,1\], but f32\[8,3,3,3,1\] is expected')
        self.assertIn("hint: use the [network]", said)
        self.assertNotIn("outside the task graph", said)

    def test_end_where_one_cannot_start(self):
        train = (HPDLF, "train", "small.toml", "--quiet")
        launched = subprocess.run([*self.LAUNCHER[:1], "--oversubscribe", "-n", "1", *train, ":", "-n", "1", "env", "STARPU_NCPU=0", *train],
                                  cwd=self.path, capture_output=True, text=True, timeout=60)

        self.assertEqual(launched.returncode, 1, launched.stderr)
        self.assertIn("error: StarPU did not start", launched.stderr)

    def test_leave_one_run_and_one_trace(self):
        self.hpdlf("train", "small.toml", "--quiet", "--trace", "--set", "train.steps=2")

        (run,) = (self.path / "runs").iterdir()  # named by the first rank, for both
        trace = run / "trace"
        self.assertEqual(len(list(trace.glob("prof_file_*"))), 2)
        ranks = re.findall(r"\t(\S*)w\d+\tWS\t", (trace / "paje.trace").read_text())  # of the workers whose states change
        self.assertEqual(len(set(ranks)), 2, set(ranks))

    def test_save_when_mpirun_is_told_to_stop(self):
        process = self.started("long", "train.steps=100000")
        process.send_signal(signal.SIGUSR1)
        out, err = process.communicate(timeout=120)

        self.assertEqual(process.returncode, 130, err)
        self.assertIn("hpdlf train --resume runs/long", out)
        summary = json.loads((self.path / "runs/long/summary.json").read_text())
        self.assertEqual((summary["interrupted"], summary["ranks"]), (True, 2))


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]], verbosity=2)
