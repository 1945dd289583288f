"""The program as the tests of this folder call it: sys.argv[1], in a folder of its own."""
import os
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

HPDLF = sys.argv[1]


class Program(unittest.TestCase):
    LAUNCHER = ()  # what the program is started by

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name)

    def tearDown(self):
        self.folder.cleanup()

    def hpdlf(self, *arguments, ok=True, environment=None):
        result = subprocess.run([*self.LAUNCHER, HPDLF, *map(str, arguments)], cwd=self.path, capture_output=True, text=True, timeout=240,
                                env=os.environ | (environment or {}))
        self.assertEqual(result.returncode == 0, ok, f"{arguments}: {result.returncode}\n{result.stdout}\n{result.stderr}")
        return result

    def fails(self, *arguments, say):
        """The program ends with one error that contains every text of `say`."""
        result = self.hpdlf(*arguments, ok=False)
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertEqual(len(re.findall(r"^error: ", result.stderr, re.M)), 1, result.stderr)
        for text in say:
            self.assertIn(text, result.stderr)
