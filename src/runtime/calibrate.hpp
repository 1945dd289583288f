// What this machine does in a second, measured: rates of a core, and times of the kernels that plans are made of.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "partition/kernel_call.hpp"
#include "partition/machine.hpp"
#include "runtime/kernel_database.hpp"
#include "runtime/measure.hpp"

namespace hpdlf::runtime {

class Session;

/// Measures what it is asked for, once: results are kept in a database and taken from there on the same machine (CPU model, cores, workers).
/// Processes that share it measure one after the other and take what another has measured. The ranks of a session are told what the first
/// one measures, and all go by the workers and the memory of the rank that has the least, so that they plan alike: all of them must make one
/// and ask for the same, in the same order.
class Calibration final : public partition::KernelTimes {
 public:
  /// @param file  of the database. @param workers  threads that measure at once.
  /// @param session  whose ranks agree; nullptr: this process is on its own.
  /// @param on_measuring  called before the first measurement, on the first rank: those of a net take seconds
  /// @throws Error if `file` cannot be written.
  Calibration(const std::filesystem::path& file, int workers, Session* session = nullptr,
              std::function<void()> on_measuring = {});
  ~Calibration() override;
  Calibration(const Calibration&) = delete;
  Calibration& operator=(const Calibration&) = delete;

  /// GFLOP/s in f32 and bf16 (a convolution through the kernel registry) and GB/s (streaming Copy kernel) of a core while all are busy;
  /// takes 2 s where they are not known yet. And the memory that a rank may use now.
  [[nodiscard]] partition::Machine machine(int ranks);
  [[nodiscard]] std::optional<double> seconds(const partition::KernelCall& call) override;

 private:
  struct Rates;
  /// The rates are what the times of kernels are compared with.
  enum class Role : std::uint8_t { rate, kernel };
  void time_references();
  [[nodiscard]] double time_of(const partition::KernelCall& call, Role role);
  [[nodiscard]] double time_of_rate(const partition::KernelCall& call);
  [[nodiscard]] double measured(const partition::KernelCall& call, const std::string& name,
                                Role role);
  /// Arithmetic and memory as far as the roofline says that each bounds the call.
  [[nodiscard]] std::vector<Reference> references_of(const partition::KernelCall& call) const;
  [[nodiscard]] double of_first_rank(double value) const;
  [[nodiscard]] std::int64_t least_of_ranks(std::int64_t value) const;

  Session* session_ = nullptr;
  int workers_ = 1;
  std::unique_ptr<Rates> rates_;
  std::string processor_;
  std::optional<KernelDatabase> stored_;  ///< the first rank's
  std::unordered_map<std::string, double>
      told_;  ///< seconds of the call of that text, the same on all ranks; infinite if it cannot be made
  std::function<void()> on_measuring_;
};

/// Forgets what this machine measured, with any number of workers and ranks; what others that share `file` measured stays, unless the file
/// is damaged: it is removed then. @throws Error if it cannot be written.
void forget_measurements(const std::filesystem::path& file);

/// In the cache folder.
[[nodiscard]] std::filesystem::path calibration_file();

}  // namespace hpdlf::runtime
