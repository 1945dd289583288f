#include "tests/ops/op_case.hpp"

#include "support/tolerance.hpp"

namespace hpdlf::test {

std::size_t RefTensor::offset(const Extents& index) const {
  HPDLF_CHECK(index.rank() == extents.rank(), "index {} into a tensor of extents {}",
              to_string(index), to_string(extents));
  std::int64_t at = 0;
  for (int i = 0; i < index.rank(); ++i) {
    HPDLF_CHECK(index[i] >= 0 && index[i] < extents[i], "index {} into a tensor of extents {}",
                to_string(index), to_string(extents));
    at = at * extents[i] + index[i];
  }
  return static_cast<std::size_t>(at);
}

void for_each_index(const Extents& extents, const std::function<void(const Extents&)>& body) {
  if (extents.elements() == 0) return;
  Extents index = Extents::filled(extents.rank(), 0);
  int i = 0;
  do {
    body(index);
    for (i = extents.rank() - 1; i >= 0; --i) {
      if (++index[i] < extents[i]) break;
      index[i] = 0;
    }
  } while (i >= 0);
}

OpCase in_bf16(OpCase op_case, const std::vector<std::size_t>& inputs,
               const std::vector<std::size_t>& outputs) {
  op_case.name += "_bf16";
  for (const auto i : inputs) op_case.inputs.at(i).dtype = DType::bf16;
  for (const auto i : outputs) op_case.outputs.at(i).dtype = DType::bf16;
  if (outputs.empty())
    op_case.slack *= unit_error("cpu", DType::f32) / unit_error("cpu", DType::bf16);
  return op_case;
}

const std::vector<OpCase>& all_op_cases() {
  static const std::vector<OpCase> cases = [] {
    std::vector<OpCase> all;
#define HPDLF_OP_FAMILY(family) \
  for (auto& op_case : family##_cases()) all.push_back(std::move(op_case));
#include "base/op_families.def"
#undef HPDLF_OP_FAMILY
    return all;
  }();
  return cases;
}

}  // namespace hpdlf::test
