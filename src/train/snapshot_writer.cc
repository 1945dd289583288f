#include "train/snapshot_writer.hpp"

#include <algorithm>

#include "base/log.hpp"

namespace hpdlf::train {

SnapshotWriter::~SnapshotWriter() {
  try {
    finish();
  } catch (const std::exception& error) {
    spdlog::error("{}", error.what());
  }
}

void SnapshotWriter::save(SnapshotInfo info, std::vector<SnapshotTensor> tensors) {
  finish();
  HPDLF_ASSERT(
      std::all_of(tensors.begin(), tensors.end(),
                  [](const SnapshotTensor& t) { return t.owner != nullptr || t.bytes.empty(); }),
      "a tensor of the snapshot of step {} has no owner", info.step);
  writing_ = std::async(
      std::launch::async,
      [this, info = std::move(info), tensors = std::move(tensors)] { store_.save(info, tensors); });
}

void SnapshotWriter::finish() {
  if (writing_.valid()) writing_.get();
}

}  // namespace hpdlf::train
