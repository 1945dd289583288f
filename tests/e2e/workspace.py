"""A small case in the folder of a test: an image with a ball and a marble, its labels, and a configuration that trains on them."""
import gzip
import json
import math
import struct
import subprocess
import time
from pathlib import Path

from program import HPDLF, Program

AFFINE = ((-2.0, 0, 0, 20), (0, 2.0, 0, -30), (0, 0, 2.0, -10))


def write_nifti(path, extents, value, datatype=16, affine=AFFINE, keep=1.0):
    """A NIfTI-1 file whose voxel (x, y, z) is value(x, y, z); datatype 16: f32, 4: i16; `keep`: share of the file written."""
    nx, ny, nz = extents
    code, size = {16: ("f", 4), 4: ("h", 2)}[datatype]
    header = bytearray(348)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 3, nx, ny, nz, 1, 1, 1, 1)
    struct.pack_into("<hh", header, 70, datatype, size * 8)
    struct.pack_into("<8f", header, 76, 1, 2, 2, 2, 1, 1, 1, 1)
    struct.pack_into("<f", header, 108, 352)
    struct.pack_into("<h", header, 254, 1)  # sform
    for row in range(3):
        struct.pack_into("<4f", header, 280 + 16 * row, *affine[row])
    header[344:348] = b"n+1\0"
    voxels = [value(x, y, z) for z in range(nz) for y in range(ny) for x in range(nx)]
    data = bytes(header) + b"\0" * 4 + struct.pack(f"<{len(voxels)}{code}", *voxels)
    data = data[: int(len(data) * keep)]
    Path(path).write_bytes(gzip.compress(data) if str(path).endswith(".gz") and keep == 1.0 else data)


def read_header(path):
    data = gzip.decompress(Path(path).read_bytes())
    return struct.unpack_from("<8h", data, 40)[1:4], tuple(struct.unpack_from("<4f", data, 280 + 16 * r) for r in range(3))


def read_voxels(path):
    return gzip.decompress(Path(path).read_bytes())[352:]


def in_ball(x, y, z, centre, radius):
    return (x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2 < radius**2


def image_at(x, y, z):
    noise = math.sin(12.9898 * x + 78.233 * y + 37.719 * z)
    return 10 * in_ball(x, y, z, (9, 10, 8), 5) + 5 * in_ball(x, y, z, (15, 5, 10), 3) + noise


def label_at(x, y, z):
    return 1 if in_ball(x, y, z, (9, 10, 8), 5) else 2 if in_ball(x, y, z, (15, 5, 10), 3) else 0


class Workspace(Program):
    """A folder with one small case and a configuration."""

    EXTENTS = (22, 20, 18)

    def setUp(self):
        super().setUp()
        write_nifti(self.path / "image.nii.gz", self.EXTENTS, image_at)
        write_nifti(self.path / "labels.nii.gz", self.EXTENTS, label_at, datatype=4)
        (self.path / "small.toml").write_text("""
[app]
name = "unet3d"
[data]
train_images = ["image.nii.gz"]
train_labels = ["labels.nii.gz"]
validation_images = ["image.nii.gz"]
validation_labels = ["labels.nii.gz"]
classes = ["background", "ball", "marble"]
[network]
filters = [4, 8]
[train]
steps = 8
validate_every = 4
snapshot_every = 4
keep_snapshots = 5
""")

    def train(self, *settings, name="run", **options):
        sets = [a for s in (f"run.name={name}", *settings) for a in ("--set", s)]
        return self.hpdlf("train", "small.toml", "--quiet", *sets, **options)

    def started(self, name, *settings, quiet=False):
        """A run in a process of its own, once its first snapshot is there."""
        sets = [a for s in (f"run.name={name}", *settings) for a in ("--set", s)]
        process = subprocess.Popen([*self.LAUNCHER, HPDLF, "train", "small.toml", *["--quiet"] * quiet, *sets], cwd=self.path,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        deadline = time.time() + 120
        while not list((self.path / "runs" / name).glob("snapshots/0*")) and time.time() < deadline:
            time.sleep(0.005)
        return process

    def train_fails(self, *settings, say):
        self.fails("train", "small.toml", *[a for s in settings for a in ("--set", s)], say=say)

    def tensors(self, name):
        """name -> content hash of the newest snapshot."""
        newest = sorted((self.path / "runs" / name / "snapshots").glob("0*"))[-1]
        manifest = json.loads((newest / "manifest.json").read_text())
        return {t["name"]: json.dumps(t) for t in manifest["tensors"] if t["name"] != "config.toml"}
