// The pool behind StarPU's RAM: temporaries are taken from it and given back every step, without a system call or a page fault.
//
// StarPU 1.4 frees RAM at once on machines without a GPU (an mmap, its page faults and a munmap for each large temporary), so its
// allocations are redirected here. An Arena is one range of reserved addresses, filled from the bottom: freed blocks are merged
// with their neighbours and the tightest fit is handed out, the last freed first (it is still in cache). Free blocks keep their
// memory, until what they hold makes the pool larger than all blocks together have ever been (and a margin): then huge pages of free
// blocks pay for the next ones. Blocks that do not fit what comes next cost addresses, not memory.
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <vector>

namespace hpdlf::runtime {

struct MemoryStats {
  std::int64_t current = 0;   ///< bytes handed out
  std::int64_t peak = 0;      ///< the most that was, since the start or reset_peak_memory()
  std::int64_t resident = 0;  ///< bytes taken from the system; resident - peak lies in free blocks
};

/// A heap of its own; thread-safe.
class Arena {
 public:
  static constexpr std::size_t kAlignment = 64;  ///< a cache line, and the widest vector
  static constexpr std::size_t kHugePage = std::size_t{2} << 20;
  /// Free blocks may hold so much in any case while the pool is small: short steps would give back what they take again in the next.
  static constexpr std::size_t kLeastMargin = std::size_t{96} << 20;
  static constexpr std::size_t kSmallPool = std::size_t{512} << 20;

  /// Reserves `capacity` bytes of addresses; memory is only used as blocks are. @throws Error if the system refuses.
  explicit Arena(std::size_t capacity);
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  /// nullptr if the arena or the machine's memory is exhausted.
  [[nodiscard]] void* allocate(std::size_t bytes);
  void free(void* block, std::size_t bytes);
  [[nodiscard]] bool owns(const void* block) const;
  [[nodiscard]] MemoryStats stats() const;
  void reset_peak();

 private:
  using Offset = std::size_t;
  void add_free(Offset offset, std::size_t size);
  void remove_free(std::map<Offset, std::size_t>::iterator block);
  [[nodiscard]] bool grow(std::size_t bytes);
  void make_resident(Offset offset, std::size_t size);
  void release_free_pages(std::size_t count);
  std::size_t release_pages_of(Offset offset, std::size_t size, std::size_t most);

  std::byte* base_ = nullptr;
  std::size_t capacity_ = 0;
  std::size_t top_ = 0;  ///< blocks end here
  std::size_t committed_ = 0;
  std::vector<bool> is_resident_;  ///< [huge page] in use since it was last given back
  std::size_t resident_pages_ = 0;
  std::int64_t most_ = 0;  ///< bytes that were ever handed out at once
  std::map<Offset, std::size_t> free_by_offset_;
  std::multimap<std::size_t, Offset> free_by_size_;  ///< equal sizes in order of release
  MemoryStats stats_;
  mutable std::mutex mutex_;
};

/// Redirects StarPU's RAM here: before StarPU starts. remove: after it has shut down; gives everything back.
void install_memory_pool();
void remove_memory_pool();
/// From the pool itself, for what is not a StarPU buffer (workspaces). @throws Error if memory is exhausted.
[[nodiscard]] void* pool_allocate(std::size_t bytes);
void pool_free(void* block, std::size_t bytes);

/// Of the pool; zeros where none is installed.
[[nodiscard]] MemoryStats memory_stats();
void reset_peak_memory();

}  // namespace hpdlf::runtime
