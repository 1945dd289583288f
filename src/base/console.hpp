// What is said to a person, who may have closed the pipe (`| head`) or the terminal.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdio>
#include <string>

namespace hpdlf {

/// From now on a pipe that nobody reads any more takes writes without effect, where it would end the process (SIGPIPE): for work that must be
/// finished. What only prints had better end.
void outlive_readers();

/// Writes `text` and a line end at once. Unlike fmt::print, no failure is an exception: the text is lost, the work goes on.
void say_line(std::FILE* file, std::string text) noexcept;

}  // namespace hpdlf
