// Measured times on the disk, one SQLite file for all machines that share it.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "base/error.hpp"

struct sqlite3;
struct sqlite3_stmt;

namespace hpdlf::runtime {

/// A file that is no database, or a damaged one.
class DamagedDatabase : public Error {
 public:
  using Error::Error;
};

class KernelDatabase {
 public:
  /// Opens or makes `file` and its folder. What a `version` other than the given one has measured is forgotten.
  /// @throws Error naming the file if it cannot be written, DamagedDatabase if it is none.
  KernelDatabase(std::filesystem::path file, std::string machine, int version);

  /// Seconds of the call of that text on this machine.
  [[nodiscard]] std::optional<double> find(const std::string& call);
  /// @param seconds  infinite: the machine cannot make this call
  void add(const std::string& call, double seconds);

  /// Removes the times of all machines whose names begin so.
  void forget(const std::string& machines);

  /// While one exists no other process adds anything; making one waits for those of others.
  class Writing {
   public:
    explicit Writing(KernelDatabase& database);
    ~Writing();
    Writing(const Writing&) = delete;
    Writing& operator=(const Writing&) = delete;

   private:
    KernelDatabase& database_;
  };

 private:
  struct Close {
    void operator()(sqlite3* database) const;
    void operator()(sqlite3_stmt* statement) const;
  };
  using Statement = std::unique_ptr<sqlite3_stmt, Close>;
  void run(const char* sql);
  [[nodiscard]] Statement prepare(const char* sql);
  [[nodiscard]] int found_version();
  void check(int code, const char* action) const;

  std::filesystem::path file_;
  std::string machine_;
  std::unique_ptr<sqlite3, Close> database_;
  Statement find_, add_;
};

}  // namespace hpdlf::runtime
