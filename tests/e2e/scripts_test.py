"""The scripts called as people call them: by a relative path, from another folder.

usage: scripts_test.py SOURCE_DIR [unittest arguments]       standard library only
"""
import os
import subprocess
import sys
import tarfile
import tempfile
import unittest
from pathlib import Path

SOURCE = Path(sys.argv[1]).resolve()

# Stands for StarPU's: what it installs is what scripts/install_deps.sh looks for.
CONFIGURE = """#!/bin/sh
for argument in "$@"; do case $argument in --prefix=*) prefix=${argument#--prefix=} ;; esac; done
printf 'all:\\ninstall:\\n' >Makefile
printf '\\tmkdir -p $(DESTDIR)%s/lib/pkgconfig\\n' "$prefix" >>Makefile
printf '\\techo prefix=%s >$(DESTDIR)%s/lib/pkgconfig/starpu-1.4.pc\\n' "$prefix" "$prefix" >>Makefile
printf '\\ttouch $(DESTDIR)%s/lib/libstarpumpi-1.4.so\\n' "$prefix" >>Makefile
"""
# Every package is installed, and no StarPU; nothing may be fetched.
COMMANDS = {"dpkg-query": 'shift 3; for name in "$@"; do echo "$name installed"; done', "pkg-config": "exit 1",
            "apt-get": "exit 1", "sudo": "exit 1"}


class RelativePath(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name).resolve()

    def tearDown(self):
        self.folder.cleanup()

    def run_script(self, name, *arguments, **environment):
        script = os.path.relpath(SOURCE / "scripts" / name, self.path)
        result = subprocess.run([script, *arguments], cwd=self.path, capture_output=True, text=True, timeout=120,
                                env=os.environ | environment)
        self.assertEqual(result.returncode, 0, f"{script} {arguments}\n{result.stdout}\n{result.stderr}")
        self.assertEqual(result.stderr, "")
        return result.stdout

    def test_help(self):
        for name in ("install_deps.sh", "build.sh", "test.sh", "train.sh"):
            self.assertIn(f"scripts/{name}", self.run_script(name, "--help"))

    def test_installs_and_knows_it_the_next_time(self):
        (self.path / "bin").mkdir()
        for name, body in COMMANDS.items():
            (self.path / "bin" / name).write_text(f"#!/bin/sh\n{body}\n")
            (self.path / "bin" / name).chmod(0o755)
        (self.path / "starpu").mkdir()
        (self.path / "starpu/configure").write_text(CONFIGURE)
        (self.path / "starpu/configure").chmod(0o755)
        (self.path / "sources").mkdir()
        with tarfile.open(self.path / "sources/starpu_1.4.99.orig.tar.gz", "w:gz") as tar:
            tar.add(self.path / "starpu", "starpu-1.4.99")
        for file in ("lib/libdnnl.so.3", "include/dnnl.hpp"):
            (self.path / "cache/onednn-2023.2.0" / file).parent.mkdir(parents=True, exist_ok=True)
            (self.path / "cache/onednn-2023.2.0" / file).touch()
        environment = {"PATH": f"{self.path / 'bin'}:{os.environ['PATH']}", "HPDLF_CACHE_DIR": "cache", "HPDLF_DEPS_DIR": "sources"}

        first = self.run_script("install_deps.sh", **environment)
        second = self.run_script("install_deps.sh", **environment)

        self.assertIn("StarPU 1.4.99: built", first)
        self.assertIn("done in", first)
        self.assertIn(f'"{self.path}/cache/starpu-1.4.99"', (self.path / "cache/env.cmake").read_text())
        self.assertIn("all there", second)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]], verbosity=2)
