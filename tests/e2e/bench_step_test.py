"""`hpdlf bench step`: the figures of a step, its tables, and what it says of wrong requests.

usage: bench_step_test.py HPDLF SOURCE_DIR [unittest arguments]       standard library only
"""
import json
import re
import sys
import unittest

from program import Program


class BenchStep(Program):
    def test_times_a_step(self):
        batch = 2048  # a step must last until the second worker is awake, on a loaded machine too
        line = json.loads(self.hpdlf("bench", "step", "--net", "mlp", "--batch", batch, "--steps", "3", "--threads", "2",
                                     "--strategy", "sample", "--json").stdout)

        self.assertEqual((line["net"], line["dtype"], line["batch"], line["params"]), ("mlp", "f32", batch, 109386))
        self.assertEqual(len(line["busy"]), 2)
        self.assertTrue(all(0 < share <= 1 for share in line["busy"]), line)
        self.assertEqual(len(line["losses"]), 4)
        self.assertLess(line["losses"][3], line["losses"][0])
        self.assertLessEqual(line["min_ms"], line["median_ms"])
        direct = 2 * batch * (2 * 784 * 128 + 3 * 128 * 64 + 3 * 64 * 10)
        gflops = direct / line["median_ms"] * 1e-6
        rounding = 0.05 + gflops * 0.0005 / line["median_ms"]  # both are printed with a few digits
        self.assertAlmostEqual(line["gflops"], gflops, delta=1.01 * rounding)
        for key in ("peak_fraction", "peak_rss_mib", "predicted_ms", "predicted_peak_mib", "tasks", "us_per_task"):
            self.assertGreater(line[key], 0, key)

    def test_gives_the_losses_of_all_steps(self):
        step = ("bench", "step", "--net", "mlp", "--steps", "6", "--json")
        first, every = (json.loads(self.hpdlf(*step, *more).stdout)["losses"] for more in ((), ("--all-losses",)))

        self.assertEqual(len(every), 2 + 6)
        self.assertEqual(first, every[:4])

    def test_times_a_step_in_bf16(self):
        def step(dtype):
            for _ in range(2):  # the first may measure kernels, whose code stays in memory
                out = self.hpdlf("bench", "step", "--net", "unet3d", "--size", "64", "--steps", "2", "--dtype", dtype, "--json").stdout
            return json.loads(out)

        f32, bf16 = step("f32"), step("bf16")

        self.assertEqual((bf16["dtype"], bf16["params"]), ("bf16", f32["params"]))
        for a, b in zip(bf16["losses"], f32["losses"]):
            self.assertAlmostEqual(a, b, delta=0.004 * b)
        self.assertLess(bf16["predicted_peak_mib"], f32["predicted_peak_mib"])

    def test_shows_the_time_of_each_operator(self):
        out = self.hpdlf("bench", "step", "--net", "unet3d", "--size", "16", "--steps", "1").stdout

        self.assertRegex(out, r"operator +tasks +ms a step +predicted")
        self.assertRegex(out, r"ConvGradWeight +[1-9]\d* +\d+\.\d\d +\d+\.\d\d ")
        self.assertIn("1,401,333 parameters", out)

    def test_shows_the_time_of_each_layer(self):
        step = ("bench", "step", "--net", "mlp", "--steps", "2", "--strategy", "whole", "--layers")
        out, line = self.hpdlf(*step).stdout, json.loads(self.hpdlf(*step, "--json").stdout)

        self.assertRegex(out, r"operator +layer +tasks +ms a step +predicted")
        layers = {(row["operator"], row["layer"]): row for row in line["layers"]}
        for layer in ("0", "2", "4"):  # the three products of the net
            self.assertRegex(out, rf"\n +Gemm +{layer} +1 ")
            row = layers["Gemm", layer]
            self.assertEqual(row["tasks"], 1)
            self.assertGreater(row["ms"], 0)
            self.assertGreater(row["predicted_ms"], 0)
            self.assertIn(("SGD", f"{layer}.weight.update"), layers)

    def test_wrong_requests(self):
        self.fails("bench", "step", "--net", "cicel", say=["unknown net `cicel`", "did you mean `cicek`"])
        self.fails("bench", "step", "--net", "mlperf", "--size", "40", say=["extent 40", "nearest: 64"])
        self.fails("bench", "step", "--net", "mlp", "--dtype", "f16", say=["`f16`", "f32 or bf16"])
        for batch in ("0", "two"):
            result = self.hpdlf("bench", "step", "--net", "mlp", "--batch", batch, ok=False)
            self.assertEqual(result.returncode, 2)
            self.assertIn(f'--batch: must be a whole number of 1 or more, found "{batch}"', result.stderr)

    def test_a_misspelt_strategy_is_refused_before_anything_is_measured(self):
        result = self.hpdlf("bench", "step", "--net", "mlp", "--strategy", "tensr", ok=False, environment={"HPDLF_CACHE_DIR": str(self.path)})

        self.assertIn("did you mean `tensor`?", result.stderr)
        self.assertEqual(list(self.path.iterdir()), [])


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]], verbosity=2)
