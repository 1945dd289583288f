#include "train/metrics_log.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sstream>
#include <unistd.h>

#include "base/atomic_file.hpp"

namespace hpdlf::train {
namespace {

/// RFC 4180: quoted if it holds a comma or a quote; line breaks become spaces, so that a row is a line.
std::string csv_field(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c == '\r' || c == '\n'; }, ' ');
  if (text.find_first_of(",\"") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  return quoted + '"';
}

/// The fields of one row, csv_field() undone.
std::vector<std::string> split_csv(const std::string& line) {
  std::vector<std::string> fields(1);
  bool quoted = false;
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (line[i] == '"' && quoted && i + 1 < line.size() && line[i + 1] == '"')
      fields.back() += line[++i];
    else if (line[i] == '"')
      quoted = !quoted;
    else if (line[i] == ',' && !quoted)
      fields.emplace_back();
    else
      fields.back() += line[i];
  }
  return fields;
}

}  // namespace

MetricsLog::MetricsLog(const std::filesystem::path& folder, std::vector<std::string> columns,
                       std::int64_t resumed_step)
    : path_(folder / "metrics.csv"),
      columns_(std::move(columns)),
      tensorboard_(folder / "tensorboard", resumed_step > 0 ? resumed_step + 1 : 0) {
  keep_rows_until(resumed_step);
  fd_ = ::open(path_.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
  if (fd_ < 0) throw file_error("write", path_, errno);
}

MetricsLog::~MetricsLog() {
  if (fd_ >= 0) ::close(fd_);
}

void MetricsLog::keep_rows_until(std::int64_t resumed_step) {
  std::string header = "step";
  for (const std::string& column : columns_) header += "," + csv_field(column);
  std::string kept = header + "\n";
  if (resumed_step > 0 && std::filesystem::exists(path_)) {
    std::istringstream old(read_text_file(path_));
    std::string line;
    std::getline(old, line);
    if (line != header)
      throw Error(
          fmt::format("{} has the columns {}, but this run has {}", path_.string(), line, header),
          "move the file away, or resume with the configuration the run began with");
    while (std::getline(old, line)) {
      std::int64_t step = -1;
      const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), step);
      const bool torn = old.eof();  // no line break after it: the process was killed while writing
      if (error == std::errc() && *end == ',' && step <= resumed_step && !torn) kept += line + "\n";
    }
  }
  write_file_atomically(path_, kept);
}

void MetricsLog::add(std::int64_t step, std::span<const Scalar> values) {
  std::vector<std::string> fields(columns_.size());
  for (const auto& [name, value] : values) {
    const auto column = std::find(columns_.begin(), columns_.end(), name);
    HPDLF_ASSERT(column != columns_.end(), "metrics.csv has no column `{}`; it has {}", name,
                 fmt::join(columns_, ", "));
    fields[static_cast<std::size_t>(column - columns_.begin())] = fmt::format("{:.9g}", value);
  }
  std::string row = fmt::format("{},{}\n", step, fmt::join(fields, ","));
  for (std::string_view rest = row; !rest.empty();) {
    const ssize_t n = ::write(fd_, rest.data(), rest.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw file_error("write", path_, errno);
    rest.remove_prefix(static_cast<std::size_t>(n));
  }
  tensorboard_.add(step, values);
}

std::map<std::string, std::vector<std::pair<double, double>>> read_metrics(
    const std::filesystem::path& csv) {
  std::istringstream text(read_text_file(csv));
  std::string line;
  std::getline(text, line);
  const std::vector<std::string> columns = split_csv(line);
  std::map<std::string, std::vector<std::pair<double, double>>> curves;
  while (std::getline(text, line) && !text.eof()) {  // a last row without line break is torn
    const std::vector<std::string> fields = split_csv(line);
    for (std::size_t i = 1; i < std::min(fields.size(), columns.size()); ++i)
      if (!fields[i].empty())
        curves[columns[i]].emplace_back(std::strtod(fields[0].c_str(), nullptr),
                                        std::strtod(fields[i].c_str(), nullptr));
  }
  return curves;
}

}  // namespace hpdlf::train
