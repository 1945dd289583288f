// Calls a kernel on plain arrays, with the workspace it asks for.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string_view>

#include "codelets/kernel.hpp"

namespace hpdlf::test {

/// Runs `kernel` with `args`, whose workspace is set to a fresh one.
void run_kernel(const codelets::Kernel& kernel, codelets::KernelArgs args);
/// Runs the CPU kernel that the registry selects for the call.
void run_kernel(std::string_view op, const codelets::KernelArgs& args);

}  // namespace hpdlf::test
