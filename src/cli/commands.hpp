// The subcommands of `hpdlf`. Each adds itself to the parser; running it is the callback's business.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <functional>

namespace CLI {
class App;
}

namespace hpdlf::cli {

/// Set by the subcommand that was parsed; run by main() so that errors are reported in one place. Returns the exit code.
using Action = std::function<int()>;

void add_train(CLI::App& app, Action& action);
void add_predict(CLI::App& app, Action& action);
void add_plan(CLI::App& app, Action& action);
void add_calibrate(CLI::App& app, Action& action);
void add_bench(CLI::App& app, Action& action);
void add_doctor(CLI::App& app, Action& action);
void add_ops(CLI::App& app, Action& action);

}  // namespace hpdlf::cli
