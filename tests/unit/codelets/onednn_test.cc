#include "codelets/cpu/onednn.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <numeric>
#include <thread>

#include "codelets/kernel.hpp"
#include "tests/support/kernel_call.hpp"

namespace hpdlf::codelets {
namespace {

using testing::HasSubstr;
using Ints = std::vector<std::int64_t>;

TEST(OnednnReorder, CopiesAndAddsStridedViews) {
  std::vector<float> from(2 * 3 * 4);
  std::iota(from.begin(), from.end(), 0.0F);
  std::vector<float> to(2 * 5 * 4, 100.0F);
  const auto x = TensorView::dense(from.data(), DType::f32, {2, 3, 4});
  const auto y = TensorView::dense(to.data(), DType::f32, {2, 5, 4}).slice({{0, 1, 0}, {2, 4, 4}});

  onednn::run(onednn::reorder(x, y, false), {x.data, y.data}, nullptr);
  onednn::run(onednn::reorder(x, y, true), {x.data, y.data}, nullptr);

  for (int i = 0; i < 2; ++i)
    for (int j = 0; j < 5; ++j)
      for (int k = 0; k < 4; ++k) {
        const bool inside = j >= 1 && j < 4;
        const float expected =
            inside ? 2 * from[static_cast<std::size_t>((i * 3 + j - 1) * 4 + k)] : 100.0F;
        EXPECT_EQ(to[static_cast<std::size_t>((i * 5 + j) * 4 + k)], expected) << i << j << k;
      }
}

TEST(OnednnReorder, ConvertsElementTypes) {
  std::vector<float> x = {1.0F, -2.5F, 3.0F};
  std::vector<bfloat16> y(3);
  const auto from = TensorView::dense(x.data(), DType::f32, {3});
  const auto to = TensorView::dense(y.data(), DType::bf16, {3});

  onednn::run(onednn::reorder(from, to, false), {from.data, to.data}, nullptr);

  for (std::size_t i = 0; i < x.size(); ++i) EXPECT_EQ(static_cast<float>(y[i]), x[i]);
}

TEST(OnednnPrimitive, IsMadeOncePerKey) {
  const auto view = TensorView::dense(nullptr, DType::f32, {7, 11});
  const auto transposed = TensorView{nullptr, DType::f32, {7, 11}, {1, 7}, {0, 0}, {7, 11}};

  EXPECT_EQ(&onednn::reorder(view, view, false), &onednn::reorder(view, view, false));
  EXPECT_NE(&onednn::reorder(view, view, false), &onednn::reorder(view, view, true));
  EXPECT_NE(&onednn::reorder(view, view, false), &onednn::reorder(view, transposed, false));
}

TEST(OnednnPrimitive, FailureNamesCallAndCode) {
  const auto impossible = [] {
    const dnnl::memory::desc from({3}, dnnl::memory::data_type::f32, dnnl::memory::format_tag::a);
    const dnnl::memory::desc to({4}, dnnl::memory::data_type::f32, dnnl::memory::format_tag::a);
    (void)onednn::reorder(onednn::Key("impossible"), from, to, false);
  };

  try {
    impossible();
    FAIL() << "a reorder of 3 elements to 4 was made";
  } catch (const LibraryError& e) {
    EXPECT_THAT(e.what(), HasSubstr("oneDNN: creating a primitive"));
    EXPECT_THAT(e.what(), HasSubstr("(invalid arguments)"));
  }
}

TEST(OnednnKey, RejectsTooManyNumbers) {
  onednn::Key key("long");

  EXPECT_THROW(for (int i = 0; i < 1000; ++i) key.add(i), InternalError);
}

/// A convolution or one of its gradients on planes [lo, hi) of D of the output, of [1, D, H, W, .] tensors.
struct ConvCall {
  std::string op = "Conv";
  std::int64_t c = 16, k = 16, kernel = 3, stride = 1;
  Extents wide = {8, 12, 10};
  std::int64_t lo = 0, hi = 8;

  Attrs attrs;
  TensorView inputs[2], outputs[1];
  std::vector<float> memory[3];

  /// Views without data, as kernels are asked for their workspace; `with_data`: memory too.
  void make(bool with_data) {
    const std::int64_t pad = kernel / 2 * (stride == kernel ? 0 : 1);
    attrs = {{"kernel_shape", Ints(3, kernel)},
             {"strides", Ints(3, stride)},
             {"pads", Ints(6, pad)},
             {"dilations", Ints{}},
             {"group", std::int64_t{1}}};
    const Extents x_whole{1, wide[0], wide[1], wide[2], c};
    const Extents y_whole{1, wide[0] / stride, wide[1] / stride, wide[2] / stride, k};
    const bool transposed = op == "ConvGradInput" || op == "ConvTranspose";
    Box x = Box::whole(x_whole), y = Box::whole(y_whole);
    Box& out = transposed ? x : y;
    out.lo[1] = lo;
    out.hi[1] = hi;
    if (transposed) {
      y.lo[1] = std::max<std::int64_t>(0, (lo + pad - kernel + stride) / stride);
      y.hi[1] = std::min(y_whole[1], (hi - 1 + pad) / stride + 1);
    } else {
      x.lo[1] = std::max<std::int64_t>(0, lo * stride - pad);
      x.hi[1] = std::min(x_whole[1], (hi - 1) * stride - pad + kernel);
    }
    const auto place = [&](int i, const Box& box, const Extents& whole) {
      if (with_data) memory[i].assign(static_cast<std::size_t>(box.elements()), 0.0F);
      TensorView v = TensorView::dense(memory[i].data(), DType::f32, box.extents());
      v.origin = box.lo;
      v.whole = whole;
      return v;
    };
    const Extents w_whole{k, kernel, kernel, kernel, c};
    inputs[0] = transposed ? place(0, y, y_whole) : place(0, x, x_whole);
    const TensorView w = place(1, Box::whole(w_whole), w_whole);
    outputs[0] = transposed ? place(2, x, x_whole) : place(2, y, y_whole);
    inputs[1] = op == "ConvGradWeight" ? outputs[0] : w;
    if (op == "ConvGradWeight") outputs[0] = w;
  }
  [[nodiscard]] KernelArgs args() const {
    return {.inputs = inputs, .outputs = outputs, .attrs = &attrs};
  }
};

TEST(OnednnConv, GivesTheSameOnEveryThreadAtOnce) {
  constexpr int kThreads = 4, kRuns = 8;
  std::vector<ConvCall> calls(kThreads + 1);
  for (auto& call : calls) {
    call.make(true);
    for (int i = 0; i < 2; ++i)
      for (std::size_t j = 0; j < call.memory[i].size(); ++j)
        call.memory[i][j] = static_cast<float>(static_cast<int>(j * 7919 % 201) - 100) / 64.0F;
  }
  const auto run = [](const ConvCall& call) { test::run_kernel("Conv", call.args()); };

  run(calls[kThreads]);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < kRuns; ++i) run(calls[static_cast<std::size_t>(t)]);
    });
  for (auto& thread : threads) thread.join();

  const auto& expected = calls[kThreads].memory[2];
  ASSERT_NE(*std::max_element(expected.begin(), expected.end()), 0.0F);
  for (int t = 0; t < kThreads; ++t)
    EXPECT_EQ(calls[static_cast<std::size_t>(t)].memory[2], expected) << "thread " << t;
}

/// The default 3-D U-Net's layers, whole and as the first, a middle and the last of three slabs.
TEST(OnednnConv, NeedsNoReferenceCodeForTheUnet) {
  struct Layer {
    std::int64_t c, k, kernel, stride;
    Extents wide;
  };
  const Extents top{48, 112, 96}, second{24, 56, 48}, third{12, 28, 24}, bottom{6, 14, 12};
  const std::vector<Layer> layers = {
      {1, 16, 3, 1, top},     {16, 16, 3, 1, top},      {16, 32, 3, 2, top},
      {32, 32, 3, 1, second}, {32, 64, 3, 2, second},   {64, 64, 3, 1, third},
      {64, 128, 3, 2, third}, {128, 128, 3, 1, bottom}, {64, 128, 2, 2, third},
      {32, 64, 2, 2, second}, {16, 32, 2, 2, top},      {16, 5, 1, 1, top}};

  for (const auto& layer : layers)
    for (const std::string op : {"Conv", "ConvGradInput", "ConvTranspose", "ConvGradWeight"})
      for (const int slab : {-1, 0, 1, 2}) {
        ConvCall call{.op = op,
                      .c = layer.c,
                      .k = layer.k,
                      .kernel = layer.kernel,
                      .stride = layer.stride,
                      .wide = layer.wide};
        const bool transposed = op == "ConvGradInput" || op == "ConvTranspose";
        const std::int64_t planes = transposed ? layer.wide[0] : layer.wide[0] / layer.stride;
        call.lo = slab < 0 ? 0 : cut(planes, 3, slab);
        call.hi = slab < 0 ? planes : cut(planes, 3, slab + 1);
        call.make(false);
        const KernelArgs args = call.args();
        const Kernel& kernel = kernel_registry().select(op, "cpu", args);
        EXPECT_GT(kernel.workspace(args), 0U);
      }

  int convolutions = 0;
  for (const auto* primitive : onednn::primitives()) {
    convolutions += primitive->arguments.size() == 3;
    EXPECT_FALSE(primitive->is_reference()) << primitive->implementation;
  }
  EXPECT_GT(convolutions, 50);
}

/// y = conv(x) of ones on one channel and with one filter, by oneDNN, without padding.
std::vector<float> convolve_ones(const Extents& x_extents, const Ints& kernel,
                                 const Extents& y_extents) {
  Extents w_extents{1};
  for (const auto k : kernel) w_extents.push_back(k);
  w_extents.push_back(1);
  std::vector<float> x(static_cast<std::size_t>(x_extents.elements()), 1.0F);
  std::vector<float> w(static_cast<std::size_t>(w_extents.elements()), 1.0F);
  std::vector<float> y(static_cast<std::size_t>(y_extents.elements()));
  const Attrs attrs = {{"kernel_shape", kernel},
                       {"strides", Ints{}},
                       {"pads", Ints{}},
                       {"dilations", Ints{}},
                       {"group", std::int64_t{1}}};
  const std::vector<TensorView> inputs = {TensorView::dense(x.data(), DType::f32, x_extents),
                                          TensorView::dense(w.data(), DType::f32, w_extents)};
  const auto output = TensorView::dense(y.data(), DType::f32, y_extents);
  test::run_kernel("Conv", {.inputs = inputs, .outputs = {&output, 1}, .attrs = &attrs});
  return y;
}

/// The reorder of the first one's weight has the numbers of a third axis behind those of two: their rank, 4, their strides 4, 1, 1 and 1, and
/// two zeros. The second convolution is one of 4 positions there, 4 outputs, a kernel, a stride and a dilation of 1, and no padding.
TEST(OnednnConv, IsNotTakenForTheWeightReorderOfOneAxisLess) {
  EXPECT_EQ(convolve_ones({1, 9, 5, 1}, {4, 1}, {1, 6, 5, 1}), std::vector<float>(6 * 5, 4.0F));
  EXPECT_EQ(convolve_ones({1, 9, 5, 4, 1}, {4, 1, 1}, {1, 6, 5, 4, 1}),
            std::vector<float>(6 * 5 * 4, 4.0F));
}

}  // namespace
}  // namespace hpdlf::codelets
