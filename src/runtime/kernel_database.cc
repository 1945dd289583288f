#include "runtime/kernel_database.hpp"

#include <sqlite3.h>

#include "base/atomic_file.hpp"

namespace hpdlf::runtime {
namespace {

constexpr int kPatienceMs = 600'000;  ///< with another process that measures
constexpr const char* kOtherFolder = "HPDLF_CACHE_DIR sets another folder";

void bind_text(sqlite3_stmt* statement, int index, const std::string& text) {
  sqlite3_bind_text(statement, index, text.data(), static_cast<int>(text.size()), SQLITE_TRANSIENT);
}

}  // namespace

void KernelDatabase::Close::operator()(sqlite3* database) const { sqlite3_close(database); }
void KernelDatabase::Close::operator()(sqlite3_stmt* statement) const {
  sqlite3_finalize(statement);
}

void KernelDatabase::check(int code, const char* action) const {
  if (code == SQLITE_OK || code == SQLITE_DONE || code == SQLITE_ROW) return;
  std::string message =
      fmt::format("cannot {} {}: {}", action, file_.string(),
                  database_ ? sqlite3_errmsg(database_.get()) : sqlite3_errstr(code));
  if (code == SQLITE_NOTADB || code == SQLITE_CORRUPT)
    throw DamagedDatabase(
        std::move(message),
        "remove it, as `hpdlf calibrate` does: it holds nothing but measurements");
  throw Error(std::move(message), kOtherFolder);
}

void KernelDatabase::run(const char* sql) {
  check(sqlite3_exec(database_.get(), sql, nullptr, nullptr, nullptr), "write");
}

KernelDatabase::Statement KernelDatabase::prepare(const char* sql) {
  sqlite3_stmt* statement = nullptr;
  check(sqlite3_prepare_v2(database_.get(), sql, -1, &statement, nullptr), "read");
  return Statement(statement);
}

KernelDatabase::KernelDatabase(std::filesystem::path file, std::string machine, int version)
    : file_(std::move(file)), machine_(std::move(machine)) {
  try {
    if (file_.has_parent_path()) make_folders(file_.parent_path());
  } catch (Error& error) {
    error.set_hint(kOtherFolder);
    throw;
  }
  sqlite3* opened = nullptr;
  const int code = sqlite3_open(file_.c_str(), &opened);
  database_.reset(opened);
  check(code, "open");
  sqlite3_busy_timeout(database_.get(), kPatienceMs);
  run("PRAGMA synchronous = OFF");  // what a power failure takes is measured again
  const Writing writing(*this);
  if (found_version() != version) run("DROP TABLE IF EXISTS kernels");
  run("CREATE TABLE IF NOT EXISTS kernels (machine TEXT, call TEXT, seconds REAL, "
      "measured TEXT DEFAULT CURRENT_TIMESTAMP, PRIMARY KEY (machine, call)) WITHOUT ROWID");
  run(fmt::format("PRAGMA user_version = {}", version).c_str());
  find_ = prepare("SELECT seconds FROM kernels WHERE machine = ? AND call = ?");
  add_ = prepare("INSERT OR REPLACE INTO kernels (machine, call, seconds) VALUES (?, ?, ?)");
}

int KernelDatabase::found_version() {
  const Statement found = prepare("PRAGMA user_version");
  check(sqlite3_step(found.get()), "read");
  return sqlite3_column_int(found.get(), 0);
}

std::optional<double> KernelDatabase::find(const std::string& call) {
  sqlite3_reset(find_.get());
  bind_text(find_.get(), 1, machine_);
  bind_text(find_.get(), 2, call);
  const int code = sqlite3_step(find_.get());
  check(code, "read");
  const auto seconds =
      code == SQLITE_ROW ? std::optional(sqlite3_column_double(find_.get(), 0)) : std::nullopt;
  sqlite3_reset(find_.get());  // ends the reading, which would keep others from writing
  return seconds;
}

void KernelDatabase::add(const std::string& call, double seconds) {
  sqlite3_reset(add_.get());
  bind_text(add_.get(), 1, machine_);
  bind_text(add_.get(), 2, call);
  sqlite3_bind_double(add_.get(), 3, seconds);
  check(sqlite3_step(add_.get()), "write");
  sqlite3_reset(add_.get());
}

void KernelDatabase::forget(const std::string& machines) {
  const Statement remove = prepare("DELETE FROM kernels WHERE substr(machine, 1, length(?1)) = ?1");
  bind_text(remove.get(), 1, machines);
  check(sqlite3_step(remove.get()), "write");
}

KernelDatabase::Writing::Writing(KernelDatabase& database) : database_(database) {
  database_.run("BEGIN IMMEDIATE");
}

KernelDatabase::Writing::~Writing() {
  sqlite3_exec(database_.database_.get(), "COMMIT", nullptr, nullptr, nullptr);
}

}  // namespace hpdlf::runtime
