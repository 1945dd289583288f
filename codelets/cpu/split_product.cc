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
#include "codelets/cpu/split_tiles-inl.hpp"

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
  static constexpr std::int64_t kSize = sizeof(float);
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

/// What goes on beside products: the next panel of b is packed and the one after it fetched, the sums before are stored and the lines of the
/// present ones fetched.
struct Meanwhile : Fetching {
  static constexpr std::int64_t kPackingsAStep = 6, kFetchesAStep = 2, kResultsAStep = 2;
  PanelPacking packing;
  Prefetcher panels, lines;
  Results results;

  template <int kGap>
  HWY_INLINE void advance(const std::byte* next_a) {
    Fetching::advance<kGap>(next_a);
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
      float* at = meanwhile.results.sums() == sums ? sums + kSums : sums;
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
