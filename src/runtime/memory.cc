#include "runtime/memory.hpp"

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <memory>
#include <starpu.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.hpp"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, size) static_cast<void>(0)
#define ASAN_UNPOISON_MEMORY_REGION(address, size) static_cast<void>(0)
#endif

namespace hpdlf::runtime {
namespace {

constexpr std::size_t round_up(std::size_t n, std::size_t unit) {
  return (n + unit - 1) / unit * unit;
}

/// What a block of `bytes` takes.
constexpr std::size_t block_size(std::size_t bytes) {
  return round_up(std::max<std::size_t>(bytes, 1), Arena::kAlignment);
}

}  // namespace

// ---- Arena

Arena::Arena(std::size_t capacity) : capacity_(round_up(capacity, kHugePage)) {
  // Addresses only: PROT_NONE counts against no limit but that of the address space. One huge page more, to align the base.
  const std::size_t mapped = capacity_ + kHugePage;
  void* start =
      mmap(nullptr, mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (start == MAP_FAILED)
    throw Error(fmt::format("cannot reserve {} MiB of addresses for the memory pool", mapped >> 20),
                "`ulimit -v unlimited` lifts the limit on addresses");
  const auto address = reinterpret_cast<std::uintptr_t>(start);
  const std::size_t head = round_up(address, kHugePage) - address;
  base_ = static_cast<std::byte*>(start) + head;
  if (head > 0) munmap(start, head);
  if (head < kHugePage) munmap(base_ + capacity_, kHugePage - head);
  madvise(base_, capacity_,
          MADV_HUGEPAGE);  // a wish: passes over memory are twice as fast with huge pages
}

Arena::~Arena() {
  ASAN_UNPOISON_MEMORY_REGION(base_, committed_);  // the shadow of the rest was never touched
  munmap(base_, capacity_);
}

bool Arena::grow(std::size_t bytes) {
  const std::size_t wanted = round_up(top_ + bytes, kHugePage);
  if (wanted > capacity_) return false;
  if (wanted > committed_) {
    if (mprotect(base_ + committed_, wanted - committed_, PROT_READ | PROT_WRITE) != 0)
      return false;
    committed_ = wanted;
    is_resident_.resize(committed_ / kHugePage);
  }
  top_ += bytes;
  return true;
}

void Arena::add_free(Offset offset, std::size_t size) {
  free_by_offset_.emplace(offset, size);
  free_by_size_.emplace(size, offset);
}

void Arena::remove_free(std::map<Offset, std::size_t>::iterator block) {
  const auto [first, last] = free_by_size_.equal_range(block->second);
  free_by_size_.erase(
      std::find_if(first, last, [&](const auto& entry) { return entry.second == block->first; }));
  free_by_offset_.erase(block);
}

/// Gives up to `most` huge pages that lie within a free block back to the system; says how many.
std::size_t Arena::release_pages_of(Offset offset, std::size_t size, std::size_t most) {
  const std::size_t end = (offset + size) / kHugePage;
  std::size_t released = 0;
  for (std::size_t page = round_up(offset, kHugePage) / kHugePage; page < end && released < most;
       ++page) {
    std::size_t last = page;
    for (; last < end && is_resident_[last] && released < most; ++last, ++released)
      is_resident_[last] = false;
    if (last == page) continue;
    madvise(base_ + page * kHugePage, (last - page) * kHugePage, MADV_DONTNEED);
    page = last;
  }
  return released;
}

/// The largest free blocks first: nothing will fit them soon.
void Arena::release_free_pages(std::size_t count) {
  for (auto block = free_by_size_.rbegin(); count > 0 && block != free_by_size_.rend(); ++block) {
    if (block->first < kHugePage) return;
    const std::size_t released = release_pages_of(block->second, block->first, count);
    count -= released;
    resident_pages_ -= released;
  }
}

/// Notes that a block will be written to, and keeps what lies in memory below `most_` and a margin.
void Arena::make_resident(Offset offset, std::size_t size) {
  constexpr std::size_t kPart = 32;  // one part in so many
  const std::size_t end = round_up(offset + size, kHugePage) / kHugePage;
  for (std::size_t page = offset / kHugePage; page < end; ++page) {
    if (is_resident_[page]) continue;
    is_resident_[page] = true;
    ++resident_pages_;
  }
  const auto most = static_cast<std::size_t>(most_);
  const std::size_t kept =
      round_up(std::max(most + most / kPart, std::min(most + kLeastMargin, kSmallPool)),
               kHugePage) /
      kHugePage;
  if (resident_pages_ > kept) release_free_pages(resident_pages_ - kept);
  stats_.resident = static_cast<std::int64_t>(resident_pages_ * kHugePage);
}

void* Arena::allocate(std::size_t bytes) {
  const std::size_t size = block_size(bytes);
  const std::lock_guard lock(mutex_);
  Offset offset = top_;
  auto fit = free_by_size_.lower_bound(size);
  if (fit != free_by_size_.end()) {
    fit = std::prev(free_by_size_.upper_bound(fit->first));  // of equal ones the last freed
    const std::size_t found = fit->first;
    offset = fit->second;
    remove_free(free_by_offset_.find(offset));
    if (found > size) add_free(offset + size, found - size);
  } else {
    // A free block at the very top is extended rather than left behind.
    const auto last =
        free_by_offset_.empty() ? free_by_offset_.end() : std::prev(free_by_offset_.end());
    const bool extends = last != free_by_offset_.end() && last->first + last->second == top_;
    const std::size_t at_hand = extends ? last->second : 0;
    if (!grow(size - at_hand)) return nullptr;
    offset -= at_hand;
    if (extends) remove_free(last);
  }
  stats_.current += static_cast<std::int64_t>(size);
  stats_.peak = std::max(stats_.peak, stats_.current);
  most_ = std::max(most_, stats_.current);
  make_resident(offset, size);
  ASAN_POISON_MEMORY_REGION(base_ + offset, size);
  ASAN_UNPOISON_MEMORY_REGION(base_ + offset, bytes);
  return base_ + offset;
}

void Arena::free(void* block, std::size_t bytes) {
  std::size_t size = block_size(bytes);
  auto offset = static_cast<Offset>(static_cast<std::byte*>(block) - base_);
  ASAN_POISON_MEMORY_REGION(block, size);
  const std::lock_guard lock(mutex_);
  stats_.current -= static_cast<std::int64_t>(size);
  auto next = free_by_offset_.lower_bound(offset);
  if (next != free_by_offset_.end() && next->first == offset + size) {
    size += next->second;
    remove_free(next++);
  }
  if (next != free_by_offset_.begin()) {
    const auto previous = std::prev(next);
    if (previous->first + previous->second == offset) {
      offset = previous->first;
      size += previous->second;
      remove_free(previous);
    }
  }
  add_free(offset, size);
}

bool Arena::owns(const void* block) const {
  const auto* p = static_cast<const std::byte*>(block);
  return p >= base_ && p < base_ + capacity_;
}

MemoryStats Arena::stats() const {
  const std::lock_guard lock(mutex_);
  return stats_;
}

void Arena::reset_peak() {
  const std::lock_guard lock(mutex_);
  stats_.peak = stats_.current;
}

// ---- the pool of the process: StarPU's hooks carry no argument

namespace {

/// Statistics and scalars live apart from tiles: a small block that stays would keep large neighbours from being merged.
class Pool {
 public:
  static constexpr std::size_t kSmall = 64 << 10;

  Pool() : small_(std::size_t{1} << 32), large_(4 * physical_memory()) {}

  void* allocate(std::size_t bytes) { return (bytes <= kSmall ? small_ : large_).allocate(bytes); }
  void free(void* block, std::size_t bytes) {
    (small_.owns(block) ? small_ : large_).free(block, bytes);
  }
  [[nodiscard]] MemoryStats stats() const {
    const MemoryStats a = small_.stats();
    const MemoryStats b = large_.stats();
    return {a.current + b.current, a.peak + b.peak, a.resident + b.resident};
  }
  void reset_peak() {
    small_.reset_peak();
    large_.reset_peak();
  }

 private:
  static std::size_t physical_memory() {
    return static_cast<std::size_t>(sysconf(_SC_PHYS_PAGES)) *
           static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  }
  Arena small_, large_;
};

std::unique_ptr<Pool> pool;

int allocate_hook(unsigned, void** block, std::size_t bytes, int) noexcept {
  *block = pool->allocate(bytes);
  return *block != nullptr ? 0 : -ENOMEM;
}

int free_hook(unsigned, void* block, std::size_t bytes, int) noexcept {
  pool->free(block, bytes);
  return 0;
}

}  // namespace

void install_memory_pool() {
  HPDLF_ASSERT(!pool, "the memory pool is installed twice");
  pool = std::make_unique<Pool>();
  starpu_malloc_set_hooks(allocate_hook, free_hook);
}

void remove_memory_pool() {
  starpu_malloc_set_hooks(nullptr, nullptr);
  pool.reset();
}

void* pool_allocate(std::size_t bytes) {
  HPDLF_ASSERT(pool != nullptr, "no memory pool is installed");
  void* block = pool->allocate(bytes);
  HPDLF_CHECK(block != nullptr, "out of memory: {} MiB more are needed, {} MiB are in use",
              bytes >> 20, pool->stats().current >> 20);
  return block;
}

void pool_free(void* block, std::size_t bytes) { pool->free(block, bytes); }

MemoryStats memory_stats() { return pool ? pool->stats() : MemoryStats{}; }

void reset_peak_memory() {
  if (pool) pool->reset_peak();
}

}  // namespace hpdlf::runtime
