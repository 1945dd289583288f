// Attention on tiles. A head's queries, keys and values are packed once, in panels of 32; blocks are 32 keys x 32 queries. Formulas:
// graph/ops/attention.cc.
//
// A query is a column of its scores: maxima and sums over keys go on lane by lane, and two rows of probabilities, rounded and interleaved,
// are a row of a tile. Exponentials are computed in the gaps between the tile instructions of other products.
#include "codelets/cpu/split_attention.hpp"

#include "codelets/cpu/highway.hpp"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codelets/cpu/split_attention.cc"
#include <algorithm>
#include <limits>

#include "base/error.hpp"
#include "codelets/cpu/attention_blocks.hpp"
#include "codelets/cpu/prefetch.hpp"
#include "codelets/cpu/split_product.hpp"
#include "hwy/foreach_target.h"
// Per target, hence after foreach_target.h.
#include "codelets/cpu/attention-inl.hpp"
#include "codelets/cpu/math-inl.hpp"
#include "codelets/cpu/simd-inl.hpp"

#if HWY_TARGET == HWY_AVX3
#include <immintrin.h>

HWY_PUSH_ATTRIBUTES(HWY_TARGET_STR ",amx-tile,amx-bf16")  // instead of HWY_BEFORE_NAMESPACE()
#include "codelets/cpu/split_tiles-inl.hpp"
// The order of packed factors, hence after it.
#include "codelets/cpu/split_attention-inl.hpp"
#include "codelets/cpu/split_attention_differentiation-inl.hpp"
#include "codelets/cpu/split_attention_forward-inl.hpp"
#include "codelets/cpu/split_attention_gradient-inl.hpp"

namespace hpdlf::codelets {
namespace HWY_NAMESPACE {
namespace {

void attend(const KernelArgs& args) {
  const AttentionHeads heads(args, args.in(0));
  const TensorView &out = args.out(0), &lse = args.out(1);
  const Tiles tiles;
  Forward forward(heads, args.workspace.data());
  heads.for_each([&](std::int64_t n, std::int64_t h) {
    forward.run(heads.at<float>(args.in(0), n, h), element<float>(out, {n, 0, h, 0}),
                out.strides[1], element<float>(lse, {n, 0, h}), lse.strides[1]);
  });
}

void attend_grad(const KernelArgs& args) {
  const AttentionHeads heads(args, args.in(0));
  const TensorView &dout = args.in(3), &dqkv = args.out(0);
  const Tiles tiles;
  Gradient gradient(heads, args.workspace.data());
  heads.for_each([&](std::int64_t n, std::int64_t h) {
    gradient.begin(heads.at<float>(args.in(0), n, h), element<float>(dout, {n, 0, h, 0}),
                   dout.strides[1], heads.at<float>(dqkv, n, h));
    for (std::int64_t q = 0; q < gradient.panels(); q += Gradient::kChunk) {
      const std::int64_t token = q * kPanel;
      load_queries<float>(args, n, h, token,
                          std::min(Gradient::kChunk * kPanel, heads.tokens() - token),
                          gradient.lse(), gradient.correction());
      gradient.add_queries(q);
    }
    gradient.store_keys();
  });
}

std::size_t workspace(const KernelArgs& args) {
  const HeadPanels head{AttentionHeads(args, args.in(0))};
  return args.inputs.size() == 1 ? ForwardBuffers(Workspace(), head).bytes
                                 : GradientBuffers(Workspace(), head).bytes;
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace hpdlf::codelets
HWY_POP_ATTRIBUTES
#endif

#if HWY_ONCE
namespace hpdlf::codelets {

bool is_for_split_attention(const KernelArgs& args) {
  constexpr bool kIsCompiled = (HWY_TARGETS & HWY_AVX3) != 0;
  constexpr std::int64_t kFewestTokens = 64, kFewestFeatures = 24;
  const TensorView& qkv = args.in(0);
  return kIsCompiled && has_split_products() && qkv.dtype == DType::f32 &&
         qkv.extents[1] >= kFewestTokens && qkv.extents[4] >= kFewestFeatures;
}
#if HWY_TARGETS & HWY_AVX3
std::size_t split_attention_workspace(const KernelArgs& args) { return N_AVX3::workspace(args); }
void split_attention(const KernelArgs& args) { N_AVX3::attend(args); }
void split_attention_grad(const KernelArgs& args) { N_AVX3::attend_grad(args); }
#else
std::size_t split_attention_workspace(const KernelArgs&) { return 0; }
void split_attention(const KernelArgs&) {
  HPDLF_ASSERT(false, "this program has no instructions for tiles");
}
void split_attention_grad(const KernelArgs& args) { split_attention(args); }
#endif

}  // namespace hpdlf::codelets
#endif
