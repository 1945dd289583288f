#include "runtime/memory.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <gtest/gtest.h>
#include <random>
#include <sys/mman.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace hpdlf::runtime {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;

TEST(Arena, AlignsBlocksToCacheLines) {
  Arena arena(64 * kMiB);

  for (const std::size_t bytes : {1U, 63U, 64U, 65U, 1000U})
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(arena.allocate(bytes)) % Arena::kAlignment, 0U);
}

TEST(Arena, HandsOutTheLastFreedBlockOfASize) {
  Arena arena(64 * kMiB);
  std::vector<void*> blocks;
  for (int i = 0; i < 5; ++i) blocks.push_back(arena.allocate(kMiB));

  arena.free(blocks[1], kMiB);
  arena.free(blocks[3], kMiB);

  EXPECT_EQ(arena.allocate(kMiB), blocks[3]);
  EXPECT_EQ(arena.allocate(kMiB), blocks[1]);
}

TEST(Arena, PrefersTheTightestFit) {
  Arena arena(64 * kMiB);
  void* big = arena.allocate(4 * kMiB);
  void* fence = arena.allocate(64);
  void* small = arena.allocate(2 * kMiB);
  void* end = arena.allocate(64);
  arena.free(big, 4 * kMiB);
  arena.free(small, 2 * kMiB);

  EXPECT_EQ(arena.allocate(kMiB), small);
  EXPECT_EQ(arena.allocate(3 * kMiB), big);
  arena.free(fence, 64);
  arena.free(end, 64);
}

TEST(Arena, MergesFreedNeighboursInAnyOrder) {
  Arena arena(64 * kMiB);
  for (const auto& order : {std::vector{0, 1, 2}, {2, 1, 0}, {0, 2, 1}, {1, 0, 2}}) {
    std::vector<void*> blocks;
    for (int i = 0; i < 3; ++i) blocks.push_back(arena.allocate(kMiB));
    void* fence = arena.allocate(64);
    for (const int i : order) arena.free(blocks[static_cast<std::size_t>(i)], kMiB);

    EXPECT_EQ(arena.allocate(3 * kMiB), blocks[0]);
    arena.free(blocks[0], 3 * kMiB);
    arena.free(fence, 64);
  }
  EXPECT_EQ(arena.stats().resident, static_cast<std::int64_t>(4 * kMiB))
      << "the same memory was used each time";
}

TEST(Arena, ExtendsTheFreeBlockAtItsTop) {
  Arena arena(64 * kMiB);
  void* block = arena.allocate(2 * kMiB);
  arena.free(block, 2 * kMiB);

  EXPECT_EQ(arena.allocate(6 * kMiB), block);
  EXPECT_EQ(arena.stats().resident, static_cast<std::int64_t>(6 * kMiB));
}

/// Bytes of a block that lie in memory, as the system sees it.
std::size_t bytes_in_memory(void* block, std::size_t bytes) {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  std::vector<unsigned char> pages(bytes / page);
  EXPECT_EQ(mincore(block, bytes, pages.data()), 0) << "the block must start on a page";
  return page * static_cast<std::size_t>(
                    std::count_if(pages.begin(), pages.end(), [](auto p) { return p & 1; }));
}

TEST(Arena, GivesBackFreeBlocksThatFitNothing) {
  constexpr std::size_t kBlock = 8 * kMiB, kBlocks = 24, kFence = Arena::kHugePage;
  static_assert(kBlocks * kBlock > Arena::kLeastMargin + kBlock);
  Arena arena(1024 * kMiB);
  std::vector<void*> blocks, fences;
  for (std::size_t i = 0; i < kBlocks; ++i) {
    blocks.push_back(arena.allocate(kBlock));
    fences.push_back(arena.allocate(kFence));
    std::memset(blocks.back(), 1, kBlock);
  }
  for (void* block : blocks) arena.free(block, kBlock);
  std::size_t kept = 0;
  for (void* block : blocks) kept += bytes_in_memory(block, kBlock);
  EXPECT_EQ(kept, kBlocks * kBlock) << "the next blocks are likely to be as large";

  void* large = arena.allocate(kBlocks * kBlock);
  std::memset(large, 2, kBlocks * kBlock);

  const auto peak = static_cast<std::size_t>(arena.stats().peak);
  kept = 0;
  for (void* block : blocks) kept += bytes_in_memory(block, kBlock);
  EXPECT_LE(kept, Arena::kLeastMargin + Arena::kHugePage);
  EXPECT_LE(static_cast<std::size_t>(arena.stats().resident),
            peak + Arena::kLeastMargin + Arena::kHugePage);
  EXPECT_EQ(bytes_in_memory(large, kBlocks * kBlock), kBlocks * kBlock);
}

/// Nothing is written here: the arena counts what it hands out as in memory.
TEST(Arena, KeepsAPartOfLargeNetsInFreeBlocks) {
  constexpr std::size_t kBlock = 64 * kMiB, kBlocks = 16, kPeak = kBlocks * kBlock;
  static_assert(kPeak > Arena::kSmallPool && kPeak / 32 < Arena::kLeastMargin);
  Arena arena(4 * kPeak);
  std::vector<void*> blocks;
  for (std::size_t i = 0; i < kBlocks; ++i) {
    blocks.push_back(arena.allocate(kBlock));
    ASSERT_NE(arena.allocate(Arena::kHugePage), nullptr);  // keeps the blocks apart
  }
  for (void* block : blocks) arena.free(block, kBlock);
  ASSERT_NE(arena.allocate(kPeak), nullptr);

  const auto peak = static_cast<std::size_t>(arena.stats().peak);
  const auto resident = static_cast<std::size_t>(arena.stats().resident);
  EXPECT_LE(resident, peak + peak / 32 + Arena::kHugePage);
  EXPECT_GE(resident, peak + peak / 32);
}

TEST(Arena, ReturnsNullWhenItIsFull) {
  Arena arena(4 * kMiB);

  EXPECT_EQ(arena.allocate(5 * kMiB), nullptr);
  void* block = arena.allocate(4 * kMiB);
  ASSERT_NE(block, nullptr);
  EXPECT_EQ(arena.allocate(64), nullptr);
  arena.free(block, 4 * kMiB);
  EXPECT_NE(arena.allocate(64), nullptr);
}

TEST(Arena, CountsWhatIsHandedOutAndItsPeak) {
  Arena arena(64 * kMiB);
  void* a = arena.allocate(100);
  void* b = arena.allocate(kMiB);
  arena.free(b, kMiB);

  EXPECT_EQ(arena.stats().current, 128);
  EXPECT_EQ(arena.stats().peak, static_cast<std::int64_t>(kMiB + 128));
  arena.reset_peak();
  EXPECT_EQ(arena.stats().peak, 128);
  arena.free(a, 100);
  EXPECT_EQ(arena.stats().current, 0);
}

TEST(Arena, KeepsBlocksApartUnderRandomUseByThreads) {
  Arena arena(256 * kMiB);
  const auto use = [&arena](std::uint32_t seed) {
    std::mt19937 random(seed);
    struct Block {
      unsigned char* data;
      std::size_t bytes;
      unsigned char mark;
    };
    std::vector<Block> blocks;
    for (int i = 0; i < 3000; ++i) {
      if (blocks.size() < 20 || random() % 2 == 0) {
        const std::size_t bytes = 1 + random() % 100000;
        const auto mark = static_cast<unsigned char>(random());
        blocks.push_back({static_cast<unsigned char*>(arena.allocate(bytes)), bytes, mark});
        std::memset(blocks.back().data, mark, bytes);
      } else {
        std::swap(blocks[random() % blocks.size()], blocks.back());
        const Block block = blocks.back();
        blocks.pop_back();
        for (std::size_t at = 0; at < block.bytes; ++at) ASSERT_EQ(block.data[at], block.mark);
        arena.free(block.data, block.bytes);
      }
    }
    for (const Block& block : blocks) arena.free(block.data, block.bytes);
  };

  std::thread other(use, 1);
  use(2);
  other.join();

  EXPECT_EQ(arena.stats().current, 0);
}

}  // namespace
}  // namespace hpdlf::runtime
