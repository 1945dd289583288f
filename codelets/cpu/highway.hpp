// Which instruction sets the CPU kernels are compiled for; include it before anything of Highway's.
//
// A kernel file is compiled once a target and picks one at run time:
//
//   #include "codelets/cpu/highway.hpp"
//   #undef HWY_TARGET_INCLUDE
//   #define HWY_TARGET_INCLUDE "codelets/cpu/FAMILY.cc"
//   #include "hwy/foreach_target.h"
//   #include "codelets/cpu/simd-inl.hpp"
//   HWY_BEFORE_NAMESPACE();
//   namespace hpdlf::codelets { namespace HWY_NAMESPACE { namespace {
//   void Relu(const KernelArgs& args) { ... }
//   }}}
//   HWY_AFTER_NAMESPACE();
//   #if HWY_ONCE
//   namespace hpdlf::codelets {
//   HWY_EXPORT(Relu);
//   void register_FAMILY_cpu(KernelRegistry& r) { r.add({.op = "Relu", .run = [](const KernelArgs& a) { HWY_DYNAMIC_DISPATCH(Relu)(a); }}); }
//   }
//   #endif
// SPDX-License-Identifier: Apache-2.0
#pragma once
// AVX-512, AVX2 and plain x86-64 remain: the steps in between are processors of before 2013, not worth their compile time.
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_DL)

/// `run` of a Kernel: calls HWY_EXPORTed `function` for the best target of this machine.
#define HPDLF_SIMD_KERNEL(function) \
  [](const ::hpdlf::codelets::KernelArgs& args) { HWY_DYNAMIC_DISPATCH(function)(args); }
