//! See quiet.cpp.

#ifndef WASMO_QUIET_H
#define WASMO_QUIET_H

namespace llvm {
class Function;
class Module;
class PassBuilder;
}

/// Marks in `module` what must stay a quiet NaN.
void wasmo_mark_quiet(llvm::Module &module);

/// Removes the marks from `function`, but where a signalling NaN may have come.
void wasmo_settle_quiet(llvm::Function &function);

/// Adds to the pipelines that `builder` builds that the marks are removed just before the vectorisers, which they would hinder.
void wasmo_register_quiet_passes(llvm::PassBuilder &builder);

#endif
