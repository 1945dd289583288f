#!/usr/bin/env python3
"""Makes tests/fixtures/volume_recipe.safetensors: what the UNet3D recipe's data functions give for small synthetic volumes.

usage: make_fixtures.py [OUTPUT]        needs numpy and scipy (scripts/torch_venv.sh makes an environment)

  augment.*      an image and labels resampled by scipy.ndimage.affine_transform, with the angles, scales and shift it was given
  hemispheres.*  a raw image and raw label values, and the prepared left and mirrored right halves at half the resolution
"""
import sys

import numpy as np
from fixture_file import save
from scipy.ndimage import affine_transform, gaussian_filter


def resampled(x, y, angles, scales, shift):
    (cx, cy, cz), (sx, sy, sz) = np.cos(angles), np.sin(angles)
    r = (np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]]) @ np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
         @ np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]]) @ np.diag(scales))
    c = np.array(x.shape) / 2
    o = c - r @ c + shift
    return affine_transform(x, r, o, order=1, mode="nearest"), affine_transform(y, r, o, order=0, mode="constant")


def hemispheres(x, y, mm):
    """As the recipe, for labels that are classes already."""
    mid = x.shape[0] // 2
    out = []
    for a, b in ((x[:mid], y[:mid]), (x[:mid:-1][:mid], y[:mid:-1][:mid])):
        d = [s // mm for s in a.shape]
        a = a[: d[0] * mm, : d[1] * mm, : d[2] * mm].reshape(d[0], mm, d[1], mm, d[2], mm).mean((1, 3, 5))
        b = b[: d[0] * mm : mm, : d[1] * mm : mm, : d[2] * mm : mm]
        a = ((a - a.mean()) / a.std()).astype(np.float32)
        w = [(0, -s % 16) for s in a.shape]
        out.append((np.pad(a, w, constant_values=a.min()), np.pad(b, w)))
    return out


def main():
    path = sys.argv[1] if len(sys.argv) > 1 else "tests/fixtures/volume_recipe.safetensors"
    rng = np.random.default_rng(3)
    image = gaussian_filter(rng.normal(size=(16, 11, 19)), 1.5).astype(np.float32)
    labels = (gaussian_filter(rng.normal(size=image.shape), 2) > 0).astype(np.uint8) + (image > 0).astype(np.uint8)
    angles, scales, shift = np.array([0.2, -0.15, 0.3]), np.array([1.1, 0.9, 1.05]), np.array([1.3, -2.1, 0.4])
    moved, moved_labels = resampled(image, labels, angles, scales, shift)
    tensors = {"augment.image": image, "augment.labels": labels, "augment.angles": angles, "augment.scales": scales,
               "augment.shift": shift, "augment.moved_image": moved.astype(np.float32), "augment.moved_labels": moved_labels}

    raw = rng.integers(0, 200, (27, 17, 14)).astype(np.uint8)  # serves as image and as label file
    classes = (raw // 50).astype(np.uint8)
    (left, left_labels), (right, right_labels) = hemispheres(raw.astype(np.float32), classes, 2)
    frequency = np.bincount(left_labels.ravel(), minlength=4) / left_labels.size
    weights = frequency**-0.5 / (frequency**-0.5 * frequency).sum()
    tensors |= {"hemispheres.raw": raw, "hemispheres.left": left, "hemispheres.left_labels": left_labels, "hemispheres.right": right,
                "hemispheres.right_labels": right_labels, "hemispheres.class_weights": weights}
    save(path, tensors)
    print(path, sum(a.nbytes for a in tensors.values()), "bytes")


if __name__ == "__main__":
    main()
