#include "train/loader.hpp"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "train/sample_source.hpp"

namespace hpdlf::train {

/// Each thread takes the next batch number not yet taken, at most `prefetch` ahead of the reader; finished batches wait in `ready` until
/// it is their turn.
struct Loader::Impl {
  Impl(const std::vector<VolumeCase>& cases, const LoaderOptions& given, std::int64_t first)
      : options(given), source(cases, given), taken(first), position(first) {
    HPDLF_CHECK(given.batch >= 1, "a batch of {} samples", given.batch);
    for (int i = 0; i < std::max(1, given.threads); ++i) threads.emplace_back([this] { work(); });
  }
  ~Impl() {
    {
      const std::lock_guard lock(mutex);
      is_stopping = true;
    }
    changed.notify_all();
    for (auto& thread : threads) thread.join();
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  struct Result {
    Batch batch;
    std::exception_ptr error;
  };

  void work() {
    while (true) {
      std::int64_t index = 0;
      {
        std::unique_lock lock(mutex);
        changed.wait(
            lock, [&] { return is_stopping || taken < position + std::max(1, options.prefetch); });
        if (is_stopping) return;
        index = taken++;
      }
      Result result;
      try {
        result.batch = make(index);
      } catch (...) {
        result.error = std::current_exception();
      }
      {
        const std::lock_guard lock(mutex);
        ready[index] = std::move(result);
      }
      changed.notify_all();
    }
  }

  [[nodiscard]] Batch make(std::int64_t index) const {
    const Extents& p = options.patch;
    auto image = std::make_shared<runtime::HostTensor>(
        graph::TensorType{DType::f32, {options.batch, p[0], p[1], p[2], source.channels()}});
    auto labels = std::make_shared<runtime::HostTensor>(
        graph::TensorType{DType::u8, {options.batch, p[0], p[1], p[2]}});
    Volume sample;
    LabelVolume sample_labels;
    for (std::int64_t i = 0; i < options.batch; ++i) {
      source.make(index * options.batch + i, sample, sample_labels);
      std::copy(sample.voxels.begin(), sample.voxels.end(),
                image->as<float>().begin() + i * static_cast<std::int64_t>(sample.voxels.size()));
      std::copy(sample_labels.voxels.begin(), sample_labels.voxels.end(),
                labels->as<std::uint8_t>().begin() +
                    i * static_cast<std::int64_t>(sample_labels.voxels.size()));
    }
    return {.index = index, .image = std::move(image), .labels = std::move(labels)};
  }

  const LoaderOptions options;
  const SampleSource source;
  std::mutex mutex;
  std::condition_variable changed;
  std::map<std::int64_t, Result> ready;
  std::int64_t taken;     ///< next batch that a thread starts
  std::int64_t position;  ///< next batch that next() gives
  bool is_stopping = false;
  double waited_s = 0;
  std::vector<std::thread> threads;  // last: they use all of the above
};

Loader::Loader(const std::vector<VolumeCase>& cases, LoaderOptions options,
               std::int64_t first_batch)
    : impl_(std::make_unique<Impl>(cases, options, first_batch)) {}

Loader::~Loader() = default;

Batch Loader::next() {
  const auto start = std::chrono::steady_clock::now();
  std::unique_lock lock(impl_->mutex);
  impl_->changed.wait(lock, [&] { return impl_->ready.count(impl_->position) != 0; });
  impl_->waited_s +=
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  auto result = std::move(impl_->ready.extract(impl_->position).mapped());
  if (result.error) {  // stays: the batch cannot be had, and asking again says so again
    impl_->ready[impl_->position].error = result.error;
    std::rethrow_exception(result.error);
  }
  ++impl_->position;
  lock.unlock();
  impl_->changed.notify_all();
  return std::move(result.batch);
}

double Loader::waited_seconds() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->waited_s;
}

}  // namespace hpdlf::train
