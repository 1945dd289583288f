// Errors: who is at fault decides the type, and every message carries the values that broke the rule.
//
//   Error          the caller or the environment is at fault (bad file, bad shape, full disk); a user can repair it
//   InternalError  a broken invariant of HP-DLF itself; "please report"
//   LibraryError   StarPU, MPI, oneDNN, ... refused a call: call, code, text
//   NotCompiled    the feature exists but this build lacks it; names the package to install
//
// Levels append where they were with add_context(); main() alone prints.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <exception>
#include <fmt/core.h>
#include <string>
#include <utility>

namespace hpdlf {

class Error : public std::exception {
 public:
  explicit Error(std::string message, std::string hint = {})
      : message_(std::move(message)), hint_(std::move(hint)) {
    render();
  }
  /// Appends "  while WHERE" to the message; returns *this so that `throw e.add_context(...)` is not needed: rethrow with `throw;`.
  Error& add_context(const std::string& where) {
    context_ += "\n  while " + where;
    render();
    return *this;
  }
  /// A command or change that repairs it.
  Error& set_hint(std::string hint) {
    hint_ = std::move(hint);
    render();
    return *this;
  }
  [[nodiscard]] const char* what() const noexcept override { return rendered_.c_str(); }
  [[nodiscard]] const std::string& message() const noexcept { return message_; }
  [[nodiscard]] const std::string& hint() const noexcept { return hint_; }

 private:
  void render() {
    rendered_ = message_ + context_;
    if (!hint_.empty()) rendered_ += "\n  hint: " + hint_;
  }
  std::string message_, hint_, context_, rendered_;
};

class InternalError : public Error {
 public:
  using Error::Error;
};

class LibraryError : public Error {
 public:
  using Error::Error;
};

class NotCompiled : public Error {
 public:
  using Error::Error;
};

namespace detail {
[[noreturn]] void fail_internal(const char* file, int line, const char* condition,
                                const std::string& message);
}  // namespace detail
}  // namespace hpdlf

/// Checks what a caller or a file must satisfy; the rest is a fmt format string and its values.
#define HPDLF_CHECK(condition, ...)                                     \
  do {                                                                  \
    if (!(condition)) throw ::hpdlf::Error(::fmt::format(__VA_ARGS__)); \
  } while (false)

/// Checks an invariant of HP-DLF itself; stays on in release builds.
#define HPDLF_ASSERT(condition, ...)                                                              \
  do {                                                                                            \
    if (!(condition))                                                                             \
      ::hpdlf::detail::fail_internal(__FILE__, __LINE__, #condition, ::fmt::format(__VA_ARGS__)); \
  } while (false)
