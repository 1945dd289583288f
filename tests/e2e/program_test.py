"""The program as a user runs it: training on small files made here, resuming, predicting, and what it says of bad input.

usage: program_test.py HPDLF SOURCE_DIR [unittest arguments]       standard library only
"""
import json
import os
import re
import signal
import sys
import unittest
from pathlib import Path

from workspace import AFFINE, Workspace, image_at, label_at, read_header, read_voxels, write_nifti

SOURCE = Path(sys.argv[2])
COLIN27 = Path("/usr/share/mricron/templates/ch2.nii.gz")


def drawn_lines(report):
    return re.findall(r'<(?:path|polyline)[^>]* (?:d|points)="([^"]*)"', report.read_text())


class Training(Workspace):
    def test_leaves_everything_a_person_wants(self):
        out = self.train().stdout

        run = self.path / "runs" / "run"
        summary = json.loads((run / "summary.json").read_text())
        for key in ("mean_dice", "dice", "steps", "step_ms", "predicted_step_ms", "peak_rss_mib", "predicted_peak_mib", "seed"):
            self.assertIn(key, summary)
        self.assertEqual(summary["steps"], 8)
        self.assertEqual(len(summary["busy"]), summary["workers"])
        self.assertTrue(all(0 <= share <= 1 for share in summary["busy"]) and sum(summary["busy"]) > 0.01, summary)
        self.assertTrue(0.1 < summary["submit_us_per_task"] < 1000, summary)
        self.assertRegex(out, r"workers  busy \d+ %(, \d+ %)* of a step; [0-9.]+ us to submit a task")
        self.assertEqual(len((run / "metrics.csv").read_text().splitlines()), 1 + 8 + 2)
        self.assertTrue(list(run.rglob("events.out.tfevents*")))
        self.assertEqual(json.loads((run / "plan.json").read_text())["ranks"], 1)
        self.assertIn("steps = 8", (run / "config.toml").read_text())
        report = (run / "report.html").read_text()
        self.assertIn("<svg", report)
        self.assertIn("data:image/png;base64,", report)
        self.assertNotRegex(report, r'(src|href)="https?:')
        extents, affine = read_header(run / "segmentation.nii.gz")
        self.assertEqual(extents, self.EXTENTS)
        self.assertEqual(affine, AFFINE)

    def test_traces_the_workers(self):
        self.hpdlf("train", "small.toml", "--trace", "--set", "train.steps=2", "--set", "run.name=traced")

        events = json.loads((self.path / "runs/traced/trace/trace.json").read_text())["traceEvents"]
        steps = [e["args"]["step"] for e in events if e["ph"] == "X"]
        self.assertEqual(set(steps), {0, 1})
        self.assertEqual(steps.count(0), steps.count(1))
        self.assertIn("inp.0.0", (self.path / "runs/traced/trace/paje.trace").read_text())

    def test_learns(self):
        self.train("train.steps=100", "optimizer.learning_rate=1e-2", "train.validate_every=0", "network.filters=8,16")

        summary = json.loads((self.path / "runs/run/summary.json").read_text())
        self.assertGreater(summary["mean_dice"], 0.7, summary)

    def test_repeats_bit_by_bit_under_another_scheduler(self):
        self.train(name="one")
        self.train(name="two", environment={"STARPU_SCHED": "lws", "STARPU_NCPU": "1"})

        # One worker gets another plan, whose sums round differently: the same plan on it must not.
        self.train("plan.strategy=d:2", name="three")
        self.train("plan.strategy=d:2", name="four", environment={"STARPU_SCHED": "lws"})
        self.assertEqual(self.tensors("three"), self.tensors("four"))
        self.assertEqual(json.loads((self.path / "runs/two/summary.json").read_text())["workers"], 1)

    def test_computes_twice_without_changing_a_bit(self):
        short = ("plan.strategy=d:2", "train.steps=3", "train.validate_every=0")
        self.train(*short, name="kept")
        self.train(*short, "plan.memory_gib=0.0054", "plan.recompute=auto", name="twice")

        plans = {name: json.loads((self.path / f"runs/{name}/plan.json").read_text()) for name in ("kept", "twice")}
        self.assertEqual(plans["kept"]["recomputed"], [])
        self.assertGreater(len(plans["twice"]["recomputed"]), 0)
        self.assertIn("twice rather than keep them", plans["twice"]["reason"])
        self.assertEqual(self.tensors("kept"), self.tensors("twice"))

    def test_trains_in_bf16(self):
        short = ("train.steps=3", "train.validate_every=0")
        self.train(*short, name="f32")
        self.train(*short, "train.dtype=bf16", name="bf16")

        f32, bf16 = (self.tensors(name) for name in ("f32", "bf16"))
        self.assertEqual(f32.keys(), bf16.keys())  # masters are f32: a snapshot of one is one of the other
        self.assertNotEqual(f32, bf16)

    def test_resumes_after_kill_as_if_never_stopped(self):
        self.train("train.steps=12", name="whole")
        process = self.started("cut", "train.steps=12", quiet=True)
        process.send_signal(signal.SIGKILL)
        process.communicate()

        self.hpdlf("train", "--resume", "runs/cut", "--quiet")

        self.assertEqual(self.tensors("whole"), self.tensors("cut"))
        rows = (self.path / "runs/cut/metrics.csv").read_text().splitlines()
        steps = [int(r.split(",")[0]) for r in rows[1:]]
        self.assertEqual(sorted(set(steps)), list(range(1, 13)))
        summary = json.loads((self.path / "runs/cut/summary.json").read_text())
        self.assertIn(summary["resumed_at"], (4, 8))
        whole, cut = (drawn_lines(self.path / "runs" / run / "report.html") for run in ("whole", "cut"))
        self.assertGreater(len(whole), 3)
        self.assertEqual(whole, cut, "the curves show the whole history")

    def test_saves_on_interrupt_and_says_how_to_go_on(self):
        process = self.started("long", "train.steps=100000")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)

        self.assertEqual(process.returncode, 130, err)
        self.assertIn("hpdlf train --resume runs/long", out)
        steps = json.loads((self.path / "runs/long/summary.json").read_text())["steps"]
        self.hpdlf("train", "--resume", "runs/long", "--quiet", "--set", f"train.steps={steps + 3}")

    def test_leaves_a_run_that_is_going_on_alone(self):
        process = self.started("busy", "train.steps=100000")
        run = self.path / "runs/busy"
        files = [run / name for name in ("config.toml", "plan.json", "metrics.csv")]
        before = [file.stat().st_ino for file in files]  # another once it is written anew

        self.fails("train", "--resume", "runs/busy", "--set", "train.steps=200000", say=["another process is writing snapshots to", "runs/busy"])
        process.send_signal(signal.SIGINT)
        err = process.communicate(timeout=120)[1]

        self.assertEqual(process.returncode, 130, err)
        self.assertEqual([file.stat().st_ino for file in files], before)
        steps = json.loads((run / "summary.json").read_text())["steps"]
        rows = (run / "metrics.csv").read_text().splitlines()[1:]
        self.assertEqual(sorted({int(r.split(",")[0]) for r in rows}), list(range(1, steps + 1)))

    def test_makes_the_report_that_a_stop_after_the_last_step_prevented(self):
        self.train()
        run = self.path / "runs/run"
        self.fails("train", "--resume", "runs/run", say=["has all of its 8 steps behind it", "train.steps"])
        segmentation, rows = read_voxels(run / "segmentation.nii.gz"), (run / "metrics.csv").read_text()
        curves = drawn_lines(run / "report.html")

        for kept in (rows, rows[: rows.rindex("\n", 0, -1) + 1]):  # stopped after the last validation, and before
            (run / "metrics.csv").write_text(kept)
            for name in ("summary.json", "segmentation.nii.gz", "report.html"):
                (run / name).unlink()
            self.hpdlf("train", "--resume", "runs/run", "--quiet")

            self.assertEqual((run / "metrics.csv").read_text(), rows)
            self.assertEqual(read_voxels(run / "segmentation.nii.gz"), segmentation)
            self.assertEqual(drawn_lines(run / "report.html"), curves)
            self.assertIn("data:image/png;base64,", (run / "report.html").read_text())
            summary = json.loads((run / "summary.json").read_text())
            self.assertEqual((summary["steps"], summary["resumed_at"], summary["interrupted"]), (8, 8, False))
            self.assertGreater(summary["step_ms"], 0)

    def test_resumes_and_predicts_with_another_patch_and_batch(self):
        self.train("data.patch=16,16,16")

        # As completed by a shell, with a slash at the end.
        self.hpdlf("train", "--resume", "runs/run/", "--quiet", "--set", "data.patch=8,16,12", "--set", "train.batch=2", "--set", "train.steps=10")
        self.hpdlf("predict", "runs/run", "image.nii.gz", "-o", "out.nii.gz", "--set", "data.patch=20,16,16")

        summary = json.loads((self.path / "runs/run/summary.json").read_text())
        self.assertEqual((summary["name"], summary["steps"]), ("run", 10))
        self.assertIn("<title>run</title>", (self.path / "runs/run/report.html").read_text())
        self.assertEqual(read_header(self.path / "out.nii.gz")[0], self.EXTENTS)

    def test_segments_with_what_it_learned_without_a_validation_case(self):
        config = (self.path / "small.toml").read_text()
        (self.path / "small.toml").write_text(re.sub(r"validation_(images|labels) = .*\n", "", config))
        self.train()

        self.hpdlf("predict", "runs/run", "image.nii.gz", "-o", "out.nii.gz")

        self.assertEqual(read_voxels(self.path / "runs/run/segmentation.nii.gz"), read_voxels(self.path / "out.nii.gz"))

    def test_predicts_other_sizes(self):
        self.train()
        write_nifti(self.path / "other.nii.gz", (31, 19, 40), image_at)

        out = self.hpdlf("predict", "runs/run", "other.nii.gz", "-o", "out.nii.gz").stdout

        self.assertIn("marble", out)
        self.assertEqual(read_header(self.path / "out.nii.gz")[0], (31, 19, 40))

    def test_plans_without_running(self):
        rows = json.loads(self.hpdlf("plan", "small.toml", "--json").stdout)

        self.assertGreater(len(rows), 3)
        self.assertTrue(all(r["predicted_step_ms"] > 0 and r["predicted_peak_mib"] > 0 for r in rows))
        self.assertTrue(all(r["fits"] for r in rows), rows)
        self.assertFalse((self.path / "runs").exists())


class BadInput(Workspace):
    def test_missing_file(self):
        self.train_fails("data.train_images=nowhere.nii.gz", say=["nowhere.nii.gz", "no such file"])

    def test_no_nifti(self):
        (self.path / "text.nii").write_text("hello" * 200)
        self.train_fails("data.train_images=text.nii", say=["text.nii is no NIfTI file"])

    def test_truncated(self):
        write_nifti(self.path / "cut.nii", self.EXTENTS, image_at, keep=0.5)
        self.train_fails("data.train_images=cut.nii", say=["cut.nii is truncated"])

    def test_other_shape(self):
        write_nifti(self.path / "wide.nii.gz", (24, 20, 18), label_at, datatype=4)
        self.train_fails("data.train_labels=wide.nii.gz", say=["22 x 20 x 18", "24 x 20 x 18"])

    def test_other_affine(self):
        write_nifti(self.path / "moved.nii.gz", self.EXTENTS, label_at, datatype=4, affine=((2.0, 0, 0, 0), *AFFINE[1:]))
        self.train_fails("data.train_labels=moved.nii.gz", say=["moved.nii.gz", "affines"])

    def test_label_of_no_class(self):
        write_nifti(self.path / "odd.nii.gz", self.EXTENTS, lambda x, y, z: 7 if x == y == z == 3 else 0, datatype=4)
        self.train_fails("data.train_labels=odd.nii.gz", say=["odd.nii.gz: label value 7 (1 voxels)", "3 classes"])

    def test_nan(self):
        write_nifti(self.path / "nan.nii.gz", self.EXTENTS, lambda x, y, z: float("nan") if x == 2 and y == 3 else 1.0)
        self.train_fails("data.train_images=nan.nii.gz", say=["18 of 7920 voxels are NaN or Inf", "(2, 3, 0)"])

    def test_patch_larger_than_the_volume(self):
        self.train_fails("data.patch=32,32,32", say=["32", "22"])

    def test_unknown_key(self):
        self.train_fails("train.stpes=5", say=["train.stpes", "train.steps"])

    def test_wrong_type(self):
        self.train_fails("train.steps=many", say=["train.steps", "integer", "many"])

    def test_unknown_strategy(self):
        self.train_fails("plan.strategy=tensr", say=["--set plan.strategy=tensr", "did you mean `tensor`"])

    def test_unknown_class_name(self):
        (self.path / "names.txt").write_text("1 Ball_L\n2 Marble_L\n")
        self.train_fails("data.label_names=names.txt", "data.class_labels=0,Ball*,Marbel*", say=["Marbel"])

    def test_memory(self):
        self.train_fails("plan.memory_gib=0.001", say=["needs at least", "only 1.0 MiB may be used", "would fit"])
        self.assertFalse((self.path / "runs").exists())

    def test_non_finite_activation_names_its_layer_and_keeps_the_last_snapshot(self):
        # Updates of 1e30 leave the parameters finite; the next forward pass multiplies them.
        self.fails("train", "small.toml", "--quiet", "--set", "optimizer.learning_rate=1e30", "--set", "schedule.name=constant",
                   "--set", "train.snapshot_every=1", "--set", "run.name=blown",
                   say=["the loss of step 2 is", "learning rate 1e+30", "the first value that is not finite is the output of",
                        "layer down0, forward", "in step 2", "the snapshot of step 1 is good: resume with a lower `optimizer.learning_rate`"])
        self.assertEqual([p.name for p in (self.path / "runs/blown/snapshots").glob("0*")], ["000001-step-1"])

    def test_non_finite_update_names_its_parameter(self):
        # Rate times decay is more than an f32 holds: the first update is infinite.
        self.fails("train", "small.toml", "--quiet", "--set", "optimizer.learning_rate=1e30", "--set", "schedule.name=constant",
                   "--set", "optimizer.weight_decay=1e10",
                   "--set", "run.name=blown", say=["the loss of step 2 is", 'the parameter "', "after its update (AdamW, layer", "in step 1",
                        "no step was saved yet: train again with a lower `optimizer.learning_rate`"])
        self.assertFalse(list((self.path / "runs/blown/snapshots").glob("0*")))

    def test_non_finite_parameters_are_not_saved(self):
        self.fails("train", "small.toml", "--quiet", "--set", "optimizer.learning_rate=1e30", "--set", "schedule.name=constant",
                   "--set", "optimizer.weight_decay=1e10",
                   "--set", "train.snapshot_every=1", "--set", "run.name=blown",
                   say=["the parameters after step 1 are not all finite", 'the parameter "', "in step 1"])
        self.assertFalse(list((self.path / "runs/blown/snapshots").glob("0*")))

    def test_non_finite_after_an_older_snapshot_is_looked_for_from_there(self):
        self.train("optimizer.learning_rate=1e-3", "schedule.name=constant")
        older = self.path / "runs/run/snapshots/000001-step-4"

        self.fails("train", "--resume", older, "--quiet", "--set", "optimizer.learning_rate=1e30",
                   say=["the loss of step 6 is", "in step 6", "the snapshot of step 4 is good"])
        self.assertEqual(sorted(p.name for p in older.parent.glob("0*")), ["000001-step-4", "000002-step-8"])

    def test_snapshot_of_another_network(self):
        self.train()
        self.fails("train", "--resume", "runs/run", "--set", "network.filters=8,16", "--set", "train.steps=9",
                   say=["4-8", "8-16", 'parameter "inp.0.0.weight" is f32[4,3,3,3,1], but f32[8,3,3,3,1] is expected'])
        self.fails("train", "--resume", "runs/run", "--set", "optimizer.name=sgd", "--set", "train.steps=9",
                   say=['state "inp.0.0.weight.momentum_buffer" is missing'])
        write_nifti(self.path / "two.nii.gz", self.EXTENTS, image_at)
        self.fails("predict", "runs/run", "image.nii.gz;two.nii.gz", "-o", "out.nii.gz",
                   say=['parameter "inp.0.0.weight" is f32[4,3,3,3,1], but f32[4,3,3,3,2] is expected', "channels"])

    def test_damaged_snapshot(self):
        self.train()
        newest = json.loads((self.path / "runs/run/snapshots/000002-step-8/manifest.json").read_text())
        chunk = self.path / "runs/run/snapshots/chunks" / newest["tensors"][0]["chunks"][0]["sha256"]
        data = bytearray(chunk.read_bytes())
        data[len(data) // 2] ^= 4
        chunk.write_bytes(data)
        self.fails("predict", "runs/run", "image.nii.gz", "-o", "out.nii.gz", say=[chunk.name[:12]])
        chunk.write_bytes(data[: len(data) // 2])
        self.fails("predict", "runs/run", "image.nii.gz", "-o", "out.nii.gz", say=[chunk.name[:12]])
        self.assertFalse((self.path / "out.nii.gz").exists())

    def test_run_folder_in_use(self):
        self.train()
        self.train_fails("run.name=run", say=["already holds a run", "--resume"])


class Reference(Workspace):
    def test_help_and_reference(self):
        self.assertIn("hpdlf train apps/unet3d/unet3d.toml", self.hpdlf("--help").stdout)
        self.assertIn("pkill -USR1 -n mpirun", self.hpdlf("train", "--help").stdout)
        reference = self.hpdlf("ops").stdout
        for text in ("Conv(x, w, bias?) -> y", "\nAdamW\n", "1 2 c, c, c -> c, c", "ReduceSum since opset 13"):
            self.assertTrue(text in reference, text)
        self.assertEqual(json.loads(self.hpdlf("ops", "Softmax", "--json").stdout)[0]["name"], "Softmax")
        self.fails("ops", "Convv", say=["Convv", "Conv"])

    def test_doctor(self):
        found = {f["subject"]: f for f in json.loads(self.hpdlf("doctor", "--json").stdout)}
        self.assertTrue({"StarPU", "CPU", "oneDNN", "MPI", "GPU", "memory", "disk"} <= found.keys(), found.keys())
        self.assertFalse(found["GPU"]["usable"])
        self.assertIn("not used yet", found["GPU"]["detail"])


@unittest.skipUnless(COLIN27.exists(), f"{COLIN27} is not installed (package mricron-data)")
class BundledConfigurations(Workspace):
    def test_default_starts(self):
        self.hpdlf("train", SOURCE / "apps/unet3d/unet3d.toml", "--quiet", "--set", "train.steps=2", "--set", "run.name=default")
        text = (self.path / "runs/default/summary.json").read_text()
        self.assertIn("1,401,333 parameters", text)

    @unittest.skipIf("ASAN_OPTIONS" in os.environ, "minutes with the sanitizers, which the default's steps pass")
    def test_first_steps_at_one_millimetre(self):
        self.hpdlf("train", SOURCE / "apps/unet3d/unet3d-1mm.toml", "--quiet", "--set", "train.steps=20", "--set", "run.name=fine",
                   "--set", "validation.overlap=0")
        rows = (self.path / "runs/fine/metrics.csv").read_text().splitlines()[1:]
        losses = [float(r.split(",")[1]) for r in rows if r.split(",")[1]]
        self.assertEqual(len(losses), 20)
        self.assertLess(sum(losses[-5:]), sum(losses[:5]))


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]], verbosity=2)
