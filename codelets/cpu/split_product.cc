// As many terms of as many rows of a as a part of L2 holds are split and packed; then, panel by panel, b is split, packed and multiplied
// with all of them. Sums to which terms are still to be added lie block by block in scratch memory: y's rows are pages apart.
#include "codelets/cpu/split_product.hpp"

#include <algorithm>
#include <hwy/base.h>
#include <utility>

#include "base/error.hpp"
#include "codelets/cpu/blocks.hpp"
#include "codelets/cpu/onednn.hpp"
#include "codelets/cpu/prefetch.hpp"
#include "codelets/cpu/workspace_layout.hpp"

#if HWY_ARCH_X86_64
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

HWY_PUSH_ATTRIBUTES("avx512f,avx512bw,avx512vl,avx512dq,amx-tile,amx-bf16")
#include "codelets/cpu/split_product_packing-inl.hpp"

namespace hpdlf::codelets {
namespace {

/// As even(), a multiple of `unit`.
constexpr std::int64_t even_blocks(std::int64_t all, std::int64_t most, std::int64_t unit) {
  return blocks_of(even(all, most), unit) * unit;
}

/// Rows of a and terms that are packed at a time, and the columns of b that meet them before the next terms do.
struct Blocking {
  static constexpr std::int64_t kMostRows = 512, kMostColumns = 1536;
  static constexpr std::int64_t kElements = std::int64_t{1} << 17;  ///< 768 KiB when packed
  std::int64_t rows, terms, columns;
  bool is_in_parts;  ///< sums have terms of several blocks
  explicit Blocking(const MatrixProductShape& s)
      : rows(even_blocks(s.m, kMostRows, kPanel)),
        terms(even_blocks(s.k, kElements / rows, kStep)),
        columns(even_blocks(s.n, kMostColumns, kPanel)),
        is_in_parts(s.k > terms) {}
  [[nodiscard]] std::int64_t panel_bytes() const { return terms / kStep * kStepBytes; }
};

/// Where the parts of the scratch memory lie. A step is read, not used, past the packed factors.
struct Scratch {
  WorkspaceLayout layout;
  std::int64_t a, b, next_b, sums, partial;
  explicit Scratch(const Blocking& blocking)
      : a(layout.add(blocking.rows / kPanel * blocking.panel_bytes() + kStepBytes)),
        b(layout.add(blocking.panel_bytes() + kStepBytes)),
        next_b(layout.add(blocking.panel_bytes() + kStepBytes)),
        sums(layout.add(2 * kSums * kSize)),  // present and before
        partial(layout.add(blocking.is_in_parts ? blocking.rows * blocking.columns * kSize : 0)) {}
  static constexpr std::int64_t kSums = kPanel * kPanel, kSize = sizeof(float);
};

/// The compiler does not know what tile instructions read and write.
void order_memory() { __asm__ volatile("" ::: "memory"); }

/// Eight tiles of 16 rows of 64 bytes while it lives.
class Tiles {
 public:
  Tiles() {
    struct alignas(64) Config {
      std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
      std::uint16_t row_bytes[16] = {};
      std::uint8_t rows[16] = {};
    } config;
    for (int i = 0; i < 8; ++i) {
      config.row_bytes[i] = kTileRowBytes;
      config.rows[i] = kTileRows;
    }
    order_memory();
    _tile_loadconfig(&config);
  }
  ~Tiles() { _tile_release(); }
  Tiles(const Tiles&) = delete;
  Tiles& operator=(const Tiles&) = delete;
};

/// Where the first of 32 x 32 sums lies, of y or of those that are to be continued.
struct Place {
  float* data = nullptr;
  std::int64_t row_stride = 0;
};

/// Writes sums to their place a row at a time.
class Results {
 public:
  /// None.
  Results() = default;
  /// to = sums (+ bias) (+ from) of the rows and columns that y has of the 32 x 32.
  Results(const float* sums, std::int64_t rows, std::int64_t columns, const float* bias, Place from,
          Place to)
      : sums_(sums), rows_(rows), columns_(columns), bias_(bias), from_(from), to_(to) {}

  [[nodiscard]] const float* sums() const { return sums_; }
  /// So that as many calls of advance() store them all.
  void spread_over(std::int64_t calls) { rows_a_call_ = blocks_of(rows_, calls); }
  HWY_INLINE void advance() {
    for (std::int64_t i = 0; i < rows_a_call_ && row_ < rows_; ++i) store_row();
  }
  void finish() {
    while (row_ < rows_) store_row();
  }

 private:
  HWY_INLINE void store_row() {
    for (std::int64_t j = 0; j < kPanel; j += kLanes) {
      const __mmask16 mask = first(columns_ - j);
      __m512 sum = _mm512_load_ps(sums_ + row_ * kPanel + j);
      if (bias_ != nullptr) sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(mask, bias_ + j));
      if (from_.data != nullptr)
        sum = _mm512_add_ps(sum,
                            _mm512_maskz_loadu_ps(mask, from_.data + row_ * from_.row_stride + j));
      _mm512_mask_storeu_ps(to_.data + row_ * to_.row_stride + j, mask, sum);
    }
    ++row_;
  }

  const float* sums_ = nullptr;
  std::int64_t rows_ = 0, columns_ = 0, row_ = 0, rows_a_call_ = 0;
  const float* bias_ = nullptr;
  Place from_, to_;
};

/// What goes on beside products, a little after every other one: the next panel of b is packed and the one after it fetched, the sums before
/// are stored and the lines of the present ones fetched.
struct Meanwhile {
  static constexpr int kGaps = 12;  ///< of a step
  static constexpr std::int64_t kPackingsAStep = 6, kFetchesAStep = 2, kResultsAStep = 2;
  PanelPacking packing;
  Prefetcher panels, lines;
  Results results;

  /// In gap number kGap, and fetches a twelfth of the next step of a to L1: the last part first, as it is used.
  template <int kGap>
  HWY_INLINE void advance(const std::byte* next_a) {
    constexpr int kGapsAPart = kGaps / kParts, kPart = kParts - 1 - kGap / kGapsAPart;
    constexpr std::int64_t kBytes = kPartBytes / kGapsAPart;
    prefetch_lines<kTileRowBytes, kBytes / kTileRowBytes>(next_a + kPart * kPartBytes +
                                                          kGap % kGapsAPart * kBytes);
    if constexpr (kGap % 2 == 0)
      packing.advance();
    else if constexpr (kGap % 6 == 1)
      panels.advance();
    else if constexpr (kGap % 6 == 3)
      lines.advance();
    else
      results.advance();
  }
};

// Tiles 0-3: sums of rows 0-15 and columns 0-15, 0-15 and 16-31, ..; 4-5: a part of a; 6-7: a part of b. Numbers of tiles are parts of
// the instructions, hence macros.
#define HPDLF_LOAD(tile, from, part, half) \
  _tile_loadd(tile, (from) + (part)*kPartBytes + (half)*kTileBytes, kTileRowBytes)
// Two multiplications, each the number of the sum and those of the parts; what they need no longer is loaded anew, half by half.
#define HPDLF_MULTIPLY(gap, first, second, loaded, from, part, half) \
  _tile_dpbf16ps first;                                              \
  _tile_dpbf16ps second;                                             \
  HPDLF_LOAD(loaded, from, part, half);                              \
  meanwhile.advance<gap>(next_a)
#define HPDLF_MULTIPLY_LOAD_A(gap, from, part)                 \
  HPDLF_MULTIPLY(gap, (0, 4, 6), (1, 4, 7), 4, from, part, 0); \
  HPDLF_MULTIPLY((gap) + 1, (2, 5, 6), (3, 5, 7), 5, from, part, 1)
#define HPDLF_MULTIPLY_LOAD_B(gap, from, part)                 \
  HPDLF_MULTIPLY(gap, (0, 4, 6), (2, 5, 6), 6, from, part, 0); \
  HPDLF_MULTIPLY((gap) + 1, (1, 4, 7), (3, 5, 7), 7, from, part, 1)

/// sums[32][32] = the products of a panel of a and one of b.
HWY_NOINLINE void multiply(const std::byte* a, const std::byte* b, std::int64_t steps, float* sums,
                           Meanwhile& meanwhile) {
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  HPDLF_LOAD(4, a, 2, 0);
  HPDLF_LOAD(5, a, 2, 1);
  HPDLF_LOAD(6, b, 0, 0);
  HPDLF_LOAD(7, b, 0, 1);
  for (std::int64_t i = 0; i < steps; ++i) {
    const std::byte *next_a = a + kStepBytes, *next_b = b + kStepBytes;
    HPDLF_MULTIPLY_LOAD_A(0, a, 1);        // a3 b1
    HPDLF_MULTIPLY_LOAD_B(2, b, 1);        // a2 b1
    HPDLF_MULTIPLY_LOAD_A(4, a, 0);        // a2 b2
    HPDLF_MULTIPLY_LOAD_B(6, b, 2);        // a1 b2
    HPDLF_MULTIPLY_LOAD_B(8, b, 0);        // a1 b3
    HPDLF_MULTIPLY_LOAD_A(10, next_a, 2);  // a1 b1
    HPDLF_LOAD(6, next_b, 0, 0);
    HPDLF_LOAD(7, next_b, 0, 1);
    a = next_a;
    b = next_b;
  }
  constexpr std::int64_t kRow = kPanel * sizeof(float);
  _tile_stored(0, sums, kRow);
  _tile_stored(1, sums + 16, kRow);
  _tile_stored(2, sums + 16 * kPanel, kRow);
  _tile_stored(3, sums + 16 * kPanel + 16, kRow);
  order_memory();
}
#undef HPDLF_LOAD
#undef HPDLF_MULTIPLY
#undef HPDLF_MULTIPLY_LOAD_A
#undef HPDLF_MULTIPLY_LOAD_B

/// A panel of b and a block of a that it is multiplied with. Panels of a group of columns in the inner loop, then terms, groups, rows.
struct Turn {
  std::int64_t row = 0, group = 0, term = 0, column = 0;
};

class SplitProduct {
 public:
  SplitProduct(const MatrixProductShape& shape, const float* a, const float* b, std::byte* scratch)
      : s_(shape),
        a_{a, shape.m, shape.k, shape.a},
        b_{b, shape.k, shape.n, shape.b},
        blocking_(shape),
        at_(blocking_),
        scratch_(scratch) {}

  void run(float* y, const float* bias) const {
    const Tiles tiles;
    std::byte *panel = scratch_ + at_.b, *next_panel = scratch_ + at_.next_b;
    PanelPacking(b_, 0, 0, terms({}), panel, 1).finish();
    Results results;
    for (Turn turn; turn.row < s_.m;) {
      if (turn.column == turn.group) pack_block(turn);
      const std::int64_t steps = blocks_of(terms(turn), kStep) * blocks_of(rows(turn), kPanel);
      const Turn next = after(turn), after_next = after(next);
      Meanwhile meanwhile;
      meanwhile.results = results;
      if (next.row < s_.m)
        meanwhile.packing = {b_,          next.column, next.term,
                             terms(next), next_panel,  steps * Meanwhile::kPackingsAStep};
      if (after_next.row < s_.m) meanwhile.panels.add(panel_at(after_next));
      meanwhile.panels.spread_over(steps * Meanwhile::kFetchesAStep);
      multiply_block(turn, panel, y, bias, meanwhile);
      meanwhile.packing.finish();
      results = meanwhile.results;
      order_memory();
      std::swap(panel, next_panel);
      turn = next;
    }
    results.finish();
  }

 private:
  [[nodiscard]] std::int64_t rows(const Turn& t) const {
    return std::min(blocking_.rows, s_.m - t.row);
  }
  [[nodiscard]] std::int64_t terms(const Turn& t) const {
    return std::min(blocking_.terms, s_.k - t.term);
  }
  [[nodiscard]] std::int64_t columns(const Turn& t) const {
    return std::min(kPanel, s_.n - t.column);
  }
  [[nodiscard]] Turn after(Turn t) const {
    t.column += kPanel;
    if (t.column < std::min(t.group + blocking_.columns, s_.n)) return t;
    t.column = t.group;
    t.term += blocking_.terms;
    if (t.term < s_.k) return t;
    t.term = 0;
    t.group += blocking_.columns;
    if (t.group >= s_.n) {
      t.group = 0;
      t.row += blocking_.rows;
    }
    t.column = t.group;
    return t;
  }
  [[nodiscard]] std::byte* packed_rows(std::int64_t row) const {
    return scratch_ + at_.a + row / kPanel * blocking_.panel_bytes();
  }

  void pack_block(const Turn& t) const {
    for (std::int64_t r = 0; r < rows(t); r += kPanel)
      pack_rows_panel(a_, t.row + r, t.term, terms(t), packed_rows(r));
  }

  /// Leaves the last sums in meanwhile.results.
  void multiply_block(const Turn& t, const std::byte* panel, float* y, const float* bias,
                      Meanwhile& meanwhile) const {
    auto* sums = reinterpret_cast<float*>(scratch_ + at_.sums);
    const bool is_first = t.term == 0, is_last = t.term + blocking_.terms >= s_.k;
    const float* added = bias != nullptr && is_first ? bias + t.column : nullptr;
    const std::int64_t steps = blocks_of(terms(t), kStep);
    for (std::int64_t r = 0; r < rows(t); r += kPanel) {
      const std::int64_t count = std::min(kPanel, rows(t) - r);
      const Place whole = {y + (t.row + r) * s_.y_row + t.column, s_.y_row}, part = partial(t, r);
      meanwhile.lines = {};
      if (is_last) meanwhile.lines.add(rows_at(whole.data, count, s_.y_row, columns(t)));
      meanwhile.lines.spread_over(steps * Meanwhile::kFetchesAStep);
      meanwhile.results.spread_over(steps * Meanwhile::kResultsAStep);
      float* at = meanwhile.results.sums() == sums ? sums + Scratch::kSums : sums;
      multiply(packed_rows(r), panel, steps, at, meanwhile);
      meanwhile.results.finish();
      const Place before = !is_first ? part : s_.sum ? whole : Place{};
      meanwhile.results = {at, count, columns(t), added, before, is_last ? whole : part};
    }
  }

  /// Sums of rows r .. of the block and the columns of a panel, behind those of the rows before.
  [[nodiscard]] Place partial(const Turn& t, std::int64_t r) const {
    auto* first = reinterpret_cast<float*>(scratch_ + at_.partial);
    return {first + (t.column - t.group) * blocking_.rows + r * kPanel, kPanel};
  }

  /// Where the panel of b lies; nothing past its end.
  [[nodiscard]] RowsToPrefetch panel_at(const Turn& t) const {
    const float* begin = b_.data + t.term * b_.stride.row + t.column * b_.stride.column;
    if (b_.stride.column == 1) return rows_at(begin, terms(t), b_.stride.row, columns(t));
    return rows_at(begin, columns(t), b_.stride.column, terms(t));
  }
  static RowsToPrefetch rows_at(const float* begin, std::int64_t rows, std::int64_t stride,
                                std::int64_t length) {
    constexpr std::int64_t kSize = sizeof(float);
    return {.base = reinterpret_cast<const std::byte*>(begin),
            .planes = 1,
            .rows = rows,
            .row_stride = stride * kSize,
            .row_bytes = length * kSize};
  }

  const MatrixProductShape& s_;
  Matrix a_, b_;
  Blocking blocking_;
  Scratch at_;
  std::byte* scratch_;
};

/// Linux saves the tiles only of a process that asked for it.
bool may_use_tiles() {
  constexpr long kRequestPermission = 0x1023,
                 kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  return onednn::has_amx() && syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

}  // namespace

bool has_split_products() {
  static const bool may = may_use_tiles();
  return may;
}

std::int64_t split_product_scratch_bytes(const MatrixProductShape& shape) {
  return static_cast<std::int64_t>(Scratch(Blocking(shape)).layout.bytes());
}

void split_product(const MatrixProductShape& shape, const float* a, const float* b, float* y,
                   const float* bias, std::byte* scratch) {
  SplitProduct(shape, a, b, scratch).run(y, bias);
}

}  // namespace hpdlf::codelets
HWY_POP_ATTRIBUTES
#else
namespace hpdlf::codelets {
bool has_split_products() { return false; }
std::int64_t split_product_scratch_bytes(const MatrixProductShape&) { return 0; }
void split_product(const MatrixProductShape&, const float*, const float*, float*, const float*,
                   std::byte*) {
  HPDLF_ASSERT(has_split_products(), "this processor has no tiles to multiply");
}
}  // namespace hpdlf::codelets
#endif

namespace hpdlf::codelets {

bool is_for_split_product(const MatrixProductShape& s) {
  // Or packing takes longer than what tiles save: measured.
  constexpr std::int64_t kFewest = 128, kFewestColumns = 64;
  return has_split_products() && s.factors == DType::f32 && s.m >= kFewest &&
         s.n >= kFewestColumns && s.k >= kFewest;
}

}  // namespace hpdlf::codelets
