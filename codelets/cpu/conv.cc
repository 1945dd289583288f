// Convolution, its transpose and their gradients by oneDNN, one thread a tile.
//
// oneDNN is fast on dense channels-last activations and on weights in a layout of its own choice. So a tile's weights are reordered in
// its workspace first (1-3 % of its time at most), and views that are not dense sample by sample (margins along H or W, channel
// slices, another element type) go through a dense copy. ConvGradInput runs as a deconvolution, which unlike
// oneDNN's backward-data primitive takes a bias and a sum, and is the same code underneath.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>
#include <vector>

#include "codelets/cpu/conv_problem.hpp"
#include "codelets/cpu/conv_slabs.hpp"
#include "codelets/cpu/conv_tile.hpp"
#include "codelets/cpu/onednn.hpp"
#include "codelets/cpu/rows.hpp"
#include "codelets/cpu/workspace_layout.hpp"
#include "codelets/kernel.hpp"

namespace hpdlf::codelets {
namespace {

using direct::adds_strided;
using direct::compute_type;
using direct::Pass;
using direct::Problem;
using direct::problems_of;
using onednn::Primitive;

// ---- one sample or all of them

TensorView samples(const TensorView& view, std::int64_t first, std::int64_t count) {
  Box box = view.box();
  box.lo[0] += first;
  box.hi[0] = box.lo[0] + count;
  return view.slice(box);
}

/// An activation as oneDNN gets it: in place, or sample by sample through a dense copy.
struct Staged {
  TensorView view;
  DType compute = DType::f32;
  bool is_copied = false;
  std::int64_t at = 0;  // of the copy in the workspace

  Staged(const TensorView& v, DType dtype, WorkspaceLayout& layout, bool must_copy = false)
      : view(v), compute(dtype) {
    is_copied = must_copy || v.dtype != dtype || !samples(v, 0, 1).is_dense();
    if (is_copied) at = layout.add(copy_of(nullptr, 0, 1).bytes());
  }
  [[nodiscard]] bool is_whole() const { return !is_copied && view.is_dense(); }
  [[nodiscard]] TensorView copy_of(std::byte* workspace, std::int64_t first,
                                   std::int64_t count) const {
    return TensorView::dense(workspace + at, compute, samples(view, first, count).extents);
  }
  /// Where oneDNN reads: filled from the view if it is copied.
  [[nodiscard]] const void* read(std::byte* workspace, std::int64_t first,
                                 std::int64_t count) const {
    const TensorView part = samples(view, first, count);
    if (!is_copied) return part.data;
    const TensorView copy = copy_of(workspace, first, count);
    run(onednn::reorder(part, copy, false), {part.data, copy.data}, nullptr);
    return copy.data;
  }
};

// ---- the primitive

/// Dimensions in oneDNN's order: [G,] O, I, kernel... of a plain weight view, as strides of that view where `strides` are asked for.
dnnl::memory::dims weight_dims(const Problem& p, bool strides) {
  const Extents& of = strides ? p.weight.strides : p.weight.extents;
  const std::int64_t narrow = strides ? of[0] : of[0] / p.tile.group;
  dnnl::memory::dims d;
  if (p.tile.group > 1)
    d.push_back(strides ? p.weight.extents[0] / p.tile.group * of[0] : p.tile.group);
  d.push_back(p.pass == Pass::transposed ? of.back() : narrow);
  d.push_back(p.pass == Pass::transposed ? narrow : of.back());
  for (int i = 0; i < p.tile.spatial; ++i) d.push_back(of[i + 1]);
  return d;
}

dnnl::memory::desc activation_desc(const TensorView& view, DType dtype, std::int64_t n) {
  using Tag = dnnl::memory::format_tag;
  constexpr std::array kTags = {Tag::nwc, Tag::nhwc, Tag::ndhwc};
  const int spatial = view.rank() - 2;
  dnnl::memory::dims d = {n, view.extents.back()};
  for (int i = 0; i < spatial; ++i) d.push_back(view.extents[i + 1]);
  return {d, onednn::data_type(dtype), kTags[static_cast<std::size_t>(spatial - 1)]};
}

struct WindowDims {
  dnnl::memory::dims strides, dilates, pad_lo, pad_hi;
  explicit WindowDims(const ConvTile& tile) {
    for (int i = 0; i < tile.spatial; ++i) {
      const ConvAxis& axis = tile.axes[static_cast<std::size_t>(i)];
      strides.push_back(axis.stride);
      dilates.push_back(axis.dilation - 1);  // oneDNN counts the gaps
      pad_lo.push_back(axis.pad_lo);
      pad_hi.push_back(axis.pad_hi);
    }
  }
};

/// How a problem is computed: by which primitive, over how many samples a call, through which copies.
struct Call {
  DType compute;
  WorkspaceLayout layout;
  Staged wide, narrow;
  std::int64_t calls, samples_per_call;
  bool sum;  // by the primitive itself
  std::int64_t weight_at = 0, bias_at = 0, scratchpad_at = 0;
  onednn::Key key{"conv"};
  const Primitive* primitive = nullptr;

  explicit Call(const Problem& p)
      : compute(compute_type(p)),
        wide(p.tile.wide, compute, layout, adds_strided(p)),
        narrow(p.tile.narrow, compute, layout),
        calls(wide.is_whole() && narrow.is_whole() ? 1 : p.tile.wide.extents[0]),
        samples_per_call(p.tile.wide.extents[0] / calls),
        sum(p.accumulate && p.pass != Pass::weights && !output(p).is_copied) {
    make_key(p);
    primitive = &onednn::primitive_for(key, [&] { return make(p); });
    weight_at = layout.add(static_cast<std::int64_t>(weight_desc(p).get_size()));
    if (p.bias != nullptr) bias_at = layout.add(p.bias->elements() * 4);
    scratchpad_at = layout.add(primitive->scratchpad_bytes());
  }

  [[nodiscard]] const Staged& output(const Problem& p) const {
    return p.pass == Pass::transposed ? wide : narrow;
  }
  [[nodiscard]] const Staged& input(const Problem& p) const {
    return p.pass == Pass::transposed ? narrow : wide;
  }
  /// Of the layout that oneDNN chose.
  [[nodiscard]] const dnnl::memory::desc& weight_desc(const Problem& p) const {
    return primitive->arguments[p.pass == Pass::weights ? 2 : 1].desc;
  }

 private:
  void make_key(const Problem& p) {
    // The number of axes belongs to it: what a weight reorder's key has behind them could pass for one axis more.
    key.add(p.tile.spatial)
        .add(static_cast<std::int64_t>(p.pass))
        .add(compute)
        .add(p.bias != nullptr)
        .add(sum);
    key.add(samples_per_call)
        .add(p.tile.group)
        .add(wide.view.extents.back())
        .add(narrow.view.extents.back());
    for (int i = 0; i < p.tile.spatial; ++i) {
      const ConvAxis& a = p.tile.axes[static_cast<std::size_t>(i)];
      key.add(a.wide)
          .add(a.narrow)
          .add(a.kernel)
          .add(a.stride)
          .add(a.dilation)
          .add(a.pad_lo)
          .add(a.pad_hi);
    }
  }

  [[nodiscard]] Primitive make(const Problem& p) const;
};

Primitive Call::make(const Problem& p) const {
  using dnnl::memory;
  const auto& engine = onednn::cpu_engine();
  const auto attributes = onednn::primitive_attributes(sum);
  const WindowDims w(p.tile);
  const auto wide_desc = activation_desc(wide.view, compute, samples_per_call);
  const auto narrow_desc = activation_desc(narrow.view, compute, samples_per_call);
  const memory::desc any_weight(weight_dims(p, false), onednn::data_type(compute),
                                memory::format_tag::any);
  memory::desc bias;  // empty: none
  if (p.bias != nullptr)
    bias = {{p.bias->elements()}, memory::data_type::f32, memory::format_tag::a};
  const auto training = dnnl::prop_kind::forward_training;

  if (p.pass == Pass::transposed) {
    const dnnl::deconvolution_forward::primitive_desc desc(
        engine, training, dnnl::algorithm::deconvolution_direct, narrow_desc, any_weight, bias,
        wide_desc, w.strides, w.dilates, w.pad_lo, w.pad_hi, attributes);
    std::vector<Primitive::Argument> arguments = {{DNNL_ARG_SRC, narrow_desc},
                                                  {DNNL_ARG_WEIGHTS, desc.weights_desc()}};
    if (p.bias != nullptr) arguments.push_back({DNNL_ARG_BIAS, bias});
    arguments.push_back({DNNL_ARG_DST, wide_desc});
    return onednn::make_primitive(desc, dnnl::deconvolution_forward(desc), std::move(arguments));
  }
  const dnnl::convolution_forward::primitive_desc forward(
      engine, training, dnnl::algorithm::convolution_direct, wide_desc, any_weight, bias,
      narrow_desc, w.strides, w.dilates, w.pad_lo, w.pad_hi, attributes);
  if (p.pass == Pass::weights) {
    const memory::desc dw(weight_dims(p, false), memory::data_type::f32, memory::format_tag::any);
    const dnnl::convolution_backward_weights::primitive_desc desc(
        engine, dnnl::algorithm::convolution_direct, wide_desc, dw, narrow_desc, w.strides,
        w.dilates, w.pad_lo, w.pad_hi, forward, attributes);
    return onednn::make_primitive(desc, dnnl::convolution_backward_weights(desc),
                                  {{DNNL_ARG_SRC, wide_desc},
                                   {DNNL_ARG_DIFF_DST, narrow_desc},
                                   {DNNL_ARG_DIFF_WEIGHTS, desc.diff_weights_desc()}});
  }
  std::vector<Primitive::Argument> arguments = {{DNNL_ARG_SRC, wide_desc},
                                                {DNNL_ARG_WEIGHTS, forward.weights_desc()}};
  if (p.bias != nullptr) arguments.push_back({DNNL_ARG_BIAS, bias});
  arguments.push_back({DNNL_ARG_DST, narrow_desc});
  return onednn::make_primitive(forward, dnnl::convolution_forward(forward), std::move(arguments));
}

// ---- running it

/// Between the plain weights and oneDNN's layout of them.
const Primitive& weight_reorder(const Problem& p, const Call& call, bool sum) {
  const bool unpack = p.pass == Pass::weights;
  onednn::Key key = call.key;
  key.add(p.weight.strides).add(p.weight.dtype).add(sum);
  const dnnl::memory::desc plain(weight_dims(p, false), onednn::data_type(p.weight.dtype),
                                 weight_dims(p, true));
  const auto& packed = call.weight_desc(p);
  return unpack ? onednn::reorder(key, packed, plain, sum)
                : onednn::reorder(key, plain, packed, sum);
}

/// y = conv(x) + bias, forward or transposed.
void run_activations(const Problem& p, const Call& call, std::byte* workspace) {
  void* weight = workspace + call.weight_at;
  run(weight_reorder(p, call, false), {p.weight.data, weight}, nullptr);
  const void* bias = p.bias != nullptr ? p.bias->data : nullptr;
  if (bias != nullptr && p.bias->dtype != DType::f32) {
    const auto copy = TensorView::dense(workspace + call.bias_at, DType::f32, p.bias->extents);
    run(onednn::reorder(*p.bias, copy, false), {bias, copy.data}, nullptr);
    bias = copy.data;
  }
  const Staged& out = call.output(p);
  for (std::int64_t i = 0; i < call.calls; ++i) {
    const std::int64_t first = i * call.samples_per_call;
    const void* x = call.input(p).read(workspace, first, call.samples_per_call);
    const TensorView y = samples(out.view, first, call.samples_per_call);
    const TensorView target =
        out.is_copied ? out.copy_of(workspace, first, call.samples_per_call) : y;
    void* scratchpad = workspace + call.scratchpad_at;
    if (bias != nullptr)
      run(*call.primitive, {x, weight, bias, target.data}, scratchpad);
    else
      run(*call.primitive, {x, weight, target.data}, scratchpad);
    if (out.is_copied)
      run(onednn::reorder(target, y, p.accumulate), {target.data, y.data}, nullptr);
  }
}

void run_weights(const Problem& p, const Call& call, std::byte* workspace) {
  void* dw = workspace + call.weight_at;
  for (std::int64_t i = 0; i < call.calls; ++i) {
    const std::int64_t first = i * call.samples_per_call;
    const void* x = call.wide.read(workspace, first, call.samples_per_call);
    const void* dy = call.narrow.read(workspace, first, call.samples_per_call);
    void* scratchpad = workspace + call.scratchpad_at;
    // For some shapes oneDNN 3.2 multiplies by 0 what it has never written there in bf16: it must not be NaN.
    if (call.compute == DType::bf16)
      std::memset(scratchpad, 0, static_cast<std::size_t>(call.primitive->scratchpad_bytes()));
    run(*call.primitive, {x, dy, dw}, scratchpad);
    run(weight_reorder(p, call, p.accumulate || i > 0), {dw, p.weight.data}, nullptr);
  }
}

void fill_zero(const TensorView& view) {
  const auto rows = Rows::dense({&view});
  const auto size = static_cast<std::int64_t>(size_of(view.dtype));
  rows.for_each([&](const std::int64_t* at) {
    std::memset(static_cast<std::byte*>(view.data) + at[0] * size, 0,
                static_cast<std::size_t>(rows.length() * size));
  });
}

/// What positions hold that no window reaches: 0, or the bias.
void fill_output(const Problem& p) {
  if (!p.accumulate) fill_zero(p.output);
  if (p.bias == nullptr || p.output.elements() == 0) return;
  TensorView bias = *p.bias;  // broadcast: the same element at every position
  bias.strides = Extents::filled(p.output.rank(), 0);
  bias.strides[p.output.rank() - 1] = p.bias->strides[0];
  bias.extents = p.output.extents;
  run(onednn::reorder(bias, p.output, true), {bias.data, p.output.data}, nullptr);
}

/// What is left to do once fill_output() has run.
Problem after_fill(Problem p) {
  p.accumulate = true;
  p.bias = nullptr;
  return p;
}

/// True if windows do not reach all of the output.
bool needs_fill(const Problem& p) {
  return p.tile.is_empty || (p.pass == Pass::transposed && p.tile.is_cropped);
}

template <Pass pass>
void run_conv(const KernelArgs& args) {
  for (Problem p : problems_of<pass>(args)) {
    if (needs_fill(p)) {
      fill_output(p);
      p = after_fill(p);
    }
    if (p.tile.is_empty) continue;
    const Call call(p);
    if (pass == Pass::weights)
      run_weights(p, call, args.workspace.data());
    else
      run_activations(p, call, args.workspace.data());
  }
}

template <Pass pass>
std::size_t workspace_of(const KernelArgs& args) {
  std::size_t most = 0;
  for (Problem p : problems_of<pass>(args)) {
    if (needs_fill(p)) p = after_fill(p);
    if (!p.tile.is_empty) most = std::max(most, Call(p).layout.bytes());
  }
  return most;
}

template <Pass pass>
void add(KernelRegistry& registry, const char* op) {
  registry.add(
      {.op = op, .variant = "onednn", .run = run_conv<pass>, .workspace = workspace_of<pass>});
}

}  // namespace

void register_conv_cpu(KernelRegistry& registry) {
  add<Pass::forward>(registry, "Conv");
  for (const char* op : {"ConvGradInput", "ConvTranspose"}) {
    registry.add(conv_transpose_simd(op));
    add<Pass::transposed>(registry, op);
  }
  registry.add(conv_grad_weight_simd());
  add<Pass::weights>(registry, "ConvGradWeight");
}

}  // namespace hpdlf::codelets
