//! See optimize.cpp.

#ifndef WASMO_OPTIMIZE_H
#define WASMO_OPTIMIZE_H

namespace llvm {
class Module;
class TargetMachine;
}

/// Runs LLVM's passes of level O2, with both vectorisers, over `module`; or, when `light`, only those that clean up after the translator.
void wasmo_optimize_module(llvm::Module &module, llvm::TargetMachine &machine, bool light);

#endif
