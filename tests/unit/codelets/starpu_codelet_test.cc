// What the StarPU entry shares between tasks. Its way through StarPU is tested with the executor.
#include "codelets/starpu_codelet.hpp"

#include <gtest/gtest.h>
#include <thread>
#include <vector>

namespace hpdlf::codelets {
namespace {

std::exception_ptr error(const char* message) { return std::make_exception_ptr(Error(message)); }

TEST(FailureLatch, KeepsTheFirstFailure) {
  FailureLatch latch;
  EXPECT_FALSE(latch.is_set());

  latch.set(3, error("first"));
  latch.set(4, error("second"));

  EXPECT_TRUE(latch.is_set());
  const auto failure = latch.take();
  ASSERT_TRUE(failure.has_value());
  EXPECT_EQ(failure->task, 3);
  EXPECT_THROW(std::rethrow_exception(failure->error), Error);
}

TEST(FailureLatch, IsEmptyOnceTaken) {
  FailureLatch latch;
  latch.set(0, error("first"));
  (void)latch.take();

  EXPECT_FALSE(latch.is_set());
  EXPECT_FALSE(latch.take().has_value());
  latch.set(1, error("again"));
  EXPECT_EQ(latch.take()->task, 1);
}

TEST(FailureLatch, TakesOneOfManyConcurrentFailures) {
  FailureLatch latch;
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i)
    threads.emplace_back([&latch, i] { latch.set(i, error("one of many")); });
  for (auto& thread : threads) thread.join();

  const auto failure = latch.take();

  ASSERT_TRUE(failure.has_value());
  EXPECT_GE(failure->task, 0);
  EXPECT_LT(failure->task, 8);
  EXPECT_FALSE(latch.take().has_value());
}

TEST(ShapeArgs, DescribeTheCallWithoutItsData) {
  TaskRecord record;
  const TensorView view = TensorView::dense(nullptr, DType::f32, {2, 3});
  record.operands = {{view, 8, 0, -1}, {view, 0, 1, -1}, {view, 0, 2, -1}};
  record.inputs = 2;
  record.accumulate = true;
  std::vector<TensorView> storage;

  const KernelArgs args = shape_args(record, storage);

  EXPECT_EQ(args.inputs.size(), 2U);
  EXPECT_EQ(args.outputs.size(), 1U);
  EXPECT_TRUE(args.accumulate);
  EXPECT_EQ(args.in(1).extents, (Extents{2, 3}));
  EXPECT_EQ(args.out(0).data, nullptr);
}

TEST(StarpuCodelets, GiveOneCodeletAnOperator) {
  StarpuCodelets codelets;

  starpu_codelet* conv = codelets.get("Conv");

  EXPECT_EQ(codelets.get("Conv"), conv);
  EXPECT_NE(codelets.get("Relu"), conv);
  EXPECT_STREQ(conv->name, "Conv");
  EXPECT_EQ(conv->nbuffers, STARPU_VARIABLE_NBUFFERS);
}

TEST(StarpuCodelets, TellTheSchedulerTheEstimateOfTheRecord) {
  StarpuCodelets codelets;
  TaskRecord record;
  record.estimate_us = 123.5;
  TaskCall call{&record, nullptr};
  starpu_task task{};
  task.cl_arg = &call;

  const starpu_perfmodel* model = codelets.get("Conv")->model;

  EXPECT_EQ(model->type, STARPU_PER_ARCH);
  EXPECT_EQ(model->arch_cost_function(&task, nullptr, 0), 123.5);
}

}  // namespace
}  // namespace hpdlf::codelets
