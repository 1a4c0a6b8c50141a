//! See optimize.cpp.

#ifndef WASMO_OPTIMIZE_H
#define WASMO_OPTIMIZE_H

namespace llvm {
class Module;
class TargetMachine;
}

/// Whether what is being compiled is not wanted any more; asked before every pass over every function.
struct WasmoStop {
  bool (*wanted)(const void *context);
  const void *context;
};

/// Runs LLVM's passes of level O2, with both vectorisers, over `module`; or, when `light`, only those that clean up after the translator. Once `stop` says so,
/// passes that code can do without are left out.
void wasmo_optimize_module(llvm::Module &module, llvm::TargetMachine &machine, bool light, const WasmoStop &stop);

#endif
