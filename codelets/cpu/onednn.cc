#include "codelets/cpu/onednn.hpp"

#include <memory>
#include <mutex>
#include <omp.h>
#include <shared_mutex>
#include <unordered_map>

#include "base/log.hpp"

namespace hpdlf::codelets::onednn {
namespace {

struct HashKey {
  std::size_t operator()(const Key& key) const { return key.hash(); }
};
template <class T>
using KeyMap = std::unordered_map<Key, T, HashKey>;

/// All primitives of the process. They are few (one a tile shape) and live as long as it.
class PrimitiveCache {
 public:
  [[nodiscard]] const Primitive* find(const Key& key) const {
    const std::shared_lock lock(mutex_);
    const auto at = primitives_.find(key);
    return at == primitives_.end() ? nullptr : at->second.get();
  }
  /// The first one wins where two threads made the same.
  const Primitive& insert(const Key& key, Primitive primitive) {
    const std::unique_lock lock(mutex_);
    auto& slot = primitives_[key];
    if (slot == nullptr) slot = std::make_unique<Primitive>(std::move(primitive));
    return *slot;
  }
  [[nodiscard]] std::vector<const Primitive*> all() const {
    const std::shared_lock lock(mutex_);
    std::vector<const Primitive*> found;
    for (const auto& [key, primitive] : primitives_) found.push_back(primitive.get());
    return found;
  }

 private:
  mutable std::shared_mutex mutex_;
  KeyMap<std::unique_ptr<const Primitive>> primitives_;
};

PrimitiveCache& primitive_cache() {
  static PrimitiveCache cache;
  return cache;
}

/// Memory objects of one primitive on one thread; their data pointers are exchanged before each run.
struct BoundArguments {
  std::vector<dnnl::memory> memories;  // the primitive's arguments, then its scratchpad
  std::vector<dnnl_exec_arg_t> arguments;

  explicit BoundArguments(const Primitive& primitive) {
    memories.reserve(primitive.arguments.size() + 1);
    for (const auto& argument : primitive.arguments) bind(argument.id, argument.desc);
    bind(DNNL_ARG_SCRATCHPAD, primitive.scratchpad);
  }

 private:
  void bind(int id, const dnnl::memory::desc& desc) {
    memories.push_back({desc, cpu_engine(), DNNL_MEMORY_NONE});
    arguments.push_back({id, memories.back().get()});
  }
};

struct ThreadState {
  dnnl::stream stream{cpu_engine()};
  std::unordered_map<const Primitive*, BoundArguments> bound;
};

ThreadState& thread_state() {
  thread_local ThreadState state;
  return state;
}

/// "[1,16,8,8] [16,16,3,3] [1,16,8,8]", channels second as oneDNN counts them.
std::string shapes_of(const Primitive& primitive) {
  std::string text;
  for (const auto& argument : primitive.arguments)
    text += (text.empty() ? "" : " ") +
            to_string(Extents(std::span<const std::int64_t>(argument.desc.get_dims())));
  return text;
}

std::string_view text_of(dnnl_status_t status) {
  switch (status) {
    case dnnl_out_of_memory:
      return "out of memory";
    case dnnl_invalid_arguments:
      return "invalid arguments";
    case dnnl_unimplemented:
      return "unimplemented";
    case dnnl_runtime_error:
      return "runtime error";
    default:
      return "unknown error";
  }
}

void check(dnnl_status_t status, std::string_view call, const Primitive& primitive) {
  if (status == dnnl_success) return;
  throw LibraryError(fmt::format("oneDNN: {} ({}): code {} ({})", call, primitive.implementation,
                                 static_cast<int>(status), text_of(status)));
}

}  // namespace

std::size_t Key::hash() const {
  std::uint64_t h =
      0xcbf29ce484222325ULL;  // FNV-1a, a number at a time, with a final mix of the high bits
  for (std::size_t i = 0; i < size_; ++i)
    h = (h ^ static_cast<std::uint64_t>(values_[i])) * 0x100000001b3ULL;
  return h ^ (h >> 32);
}

namespace detail {

const Primitive* find(const Key& key) { return primitive_cache().find(key); }
const Primitive& insert(const Key& key, Primitive primitive) {
  if (primitive.is_reference())
    spdlog::warn(
        "oneDNN has only reference code for a primitive on {}: that layer will be very slow",
        shapes_of(primitive));
  return primitive_cache().insert(key, std::move(primitive));
}

OneThread::OneThread() : saved_(omp_get_max_threads()) { omp_set_num_threads(1); }
OneThread::~OneThread() { omp_set_num_threads(saved_); }

void fail(std::string_view call, const dnnl::error& error) {
  throw LibraryError(fmt::format("oneDNN: {}: {}: code {} ({})", call, error.what(),
                                 static_cast<int>(error.status), text_of(error.status)));
}

}  // namespace detail

std::vector<const Primitive*> primitives() { return primitive_cache().all(); }

void run(const Primitive& primitive, std::initializer_list<const void*> data, void* scratchpad) {
  HPDLF_ASSERT(data.size() == primitive.arguments.size(), "{} is run with {} arguments, it has {}",
               primitive.implementation, data.size(), primitive.arguments.size());
  HPDLF_ASSERT(scratchpad != nullptr || primitive.scratchpad_bytes() == 0,
               "{} is run without its scratchpad of {} bytes", primitive.implementation,
               primitive.scratchpad_bytes());
  ThreadState& state = thread_state();
  auto& bound = state.bound.try_emplace(&primitive, primitive).first->second;
  auto memory = bound.arguments.begin();
  for (const void* pointer : data)  // oneDNN's interface knows no const
    check(dnnl_memory_set_data_handle(memory++->memory, const_cast<void*>(pointer)),
          "setting an argument", primitive);
  check(dnnl_memory_set_data_handle(memory->memory, scratchpad), "setting the scratchpad",
        primitive);

  const detail::OneThread one_thread;
  check(dnnl_primitive_execute(primitive.handle.get(), state.stream.get(),
                               static_cast<int>(bound.arguments.size()), bound.arguments.data()),
        "running a primitive", primitive);
}

void sgemm(const SgemmCall& c, const float* a, const float* b, float* y) {
  const detail::OneThread one_thread;
  const bool a_as_it_is = c.a_column == 1, b_as_it_is = c.b_column == 1;
  const dnnl_status_t status =
      dnnl_sgemm(a_as_it_is ? 'N' : 'T', b_as_it_is ? 'N' : 'T', c.m, c.n, c.k, 1.0F, a,
                 a_as_it_is ? c.a_row : c.a_column, b, b_as_it_is ? c.b_row : c.b_column,
                 c.sum ? 1.0F : 0.0F, y, c.y_row);
  if (status != dnnl_success)
    throw LibraryError(fmt::format("oneDNN: sgemm of {} x {} x {}: code {} ({})", c.m, c.n, c.k,
                                   static_cast<int>(status), text_of(status)));
}

const dnnl::engine& cpu_engine() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

dnnl::primitive_attr primitive_attributes(bool sum) {
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  if (sum) {
    dnnl::post_ops post;
    post.append_sum(1.0F);
    attributes.set_post_ops(post);
  }
  return attributes;
}

dnnl::memory::data_type data_type(DType dtype) {
  HPDLF_ASSERT(dtype == DType::f32 || dtype == DType::bf16, "oneDNN is given {}", name_of(dtype));
  return dtype == DType::f32 ? dnnl::memory::data_type::f32 : dnnl::memory::data_type::bf16;
}

dnnl::memory::dims dims(const Extents& extents) { return {extents.begin(), extents.end()}; }

dnnl::memory::desc strided_desc(DType dtype, const Extents& extents, const Extents& strides) {
  return {dims(extents), data_type(dtype), dims(strides)};
}

const Primitive& reorder(const Key& key, const dnnl::memory::desc& from,
                         const dnnl::memory::desc& to, bool sum) {
  return primitive_for(key, [&] {
    const dnnl::reorder::primitive_desc desc(cpu_engine(), from, cpu_engine(), to,
                                             primitive_attributes(sum));
    return make_primitive(desc, dnnl::reorder(desc), {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}});
  });
}

const Primitive& reorder(const TensorView& from, const TensorView& to, bool sum) {
  HPDLF_ASSERT(from.extents == to.extents, "{} is copied to {}", to_string(from.extents),
               to_string(to.extents));
  const Key key = Key("reorder")
                      .add(from.dtype)
                      .add(to.dtype)
                      .add(from.extents)
                      .add(from.strides)
                      .add(to.strides)
                      .add(sum);
  return reorder(key, strided_desc(from.dtype, from.extents, from.strides),
                 strided_desc(to.dtype, to.extents, to.strides), sum);
}

namespace {
bool has(dnnl::cpu_isa needed) {
  static const auto isa = static_cast<unsigned>(dnnl::get_effective_cpu_isa());
  return (isa & static_cast<unsigned>(needed)) == static_cast<unsigned>(needed);
}
}  // namespace

bool has_avx512() { return has(dnnl::cpu_isa::avx512_core); }
bool has_bf16() { return has(dnnl::cpu_isa::avx512_core_bf16); }
bool has_amx() { return has(dnnl::cpu_isa::avx512_core_amx); }

}  // namespace hpdlf::codelets::onednn
