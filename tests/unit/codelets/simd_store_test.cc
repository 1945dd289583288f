// Writer stores past the caches what an access stores, for every instruction set of this machine that the kernels are compiled for and one
// whose registers have 128 bits: half of one is a vector of bf16.
#include <gtest/gtest.h>
#include <vector>

#include "base/element.hpp"
#include "base/tensor_view.hpp"
#include "codelets/cpu/highway.hpp"
#undef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_AVX3_DL)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tests/unit/codelets/simd_store_test.cc"
#include "hwy/foreach_target.h"
// Per target, hence after foreach_target.h.
#include "codelets/cpu/simd-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace hpdlf::codelets {
namespace HWY_NAMESPACE {
namespace {

/// to[i] = from[i] for as many whole vectors as n elements have, as into an output that leaves the caches.
template <class T>
void stream_row(const float* from, T* to, std::int64_t n) {
  const Writer writer(to, kStreamedBytes, lanes());
  for_each_vector(n / lanes() * lanes(), [=](auto access, std::int64_t i) HWY_ATTR {
    writer.store(access, access.load(from + i), to + i);
  });
  hwy::FlushStream();
}

void StreamRow(const float* from, const TensorView& to) {
  with_storage(to.dtype,
               [&](auto zero) { stream_row(from, to.as<decltype(zero)>(), to.elements()); });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace hpdlf::codelets
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hpdlf::codelets {
namespace {

HWY_EXPORT(StreamRow);

class SimdStore : public testing::TestWithParam<std::int64_t> {
 protected:
  void SetUp() override { hwy::SetSupportedTargetsForTest(GetParam()); }
  void TearDown() override { hwy::SetSupportedTargetsForTest(0); }
};

TEST_P(SimdStore, StreamsWholeVectorsAndNothingBehindThem) {
  constexpr std::int64_t kCount = 64, kBehind = 16;  // several of the widest vectors
  std::vector<float> from(kCount);
  for (std::size_t i = 0; i < from.size(); ++i) from[i] = static_cast<float>(i + 1);
  for (const DType dtype : {DType::f32, DType::bf16}) {
    alignas(64) std::byte memory[(kCount + kBehind) * sizeof(float)] = {};

    HWY_DYNAMIC_DISPATCH(StreamRow)(from.data(), TensorView::dense(memory, dtype, {kCount}));

    for (std::int64_t i = 0; i < kCount + kBehind; ++i)
      EXPECT_EQ(load_element(memory, dtype, i), i < kCount ? static_cast<double>(i + 1) : 0.0)
          << name_of(dtype) << " at " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, SimdStore, testing::ValuesIn(hwy::SupportedAndGeneratedTargets()),
                         [](const auto& info) { return std::string(hwy::TargetName(info.param)); });

}  // namespace
}  // namespace hpdlf::codelets
#endif
