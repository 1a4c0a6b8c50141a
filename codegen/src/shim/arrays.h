//! See arrays.cpp.

#ifndef WASMO_ARRAYS_H
#define WASMO_ARRAYS_H

namespace llvm {
class PassBuilder;
}

/// Adds to the pipelines that `builder` builds what tells arrays in linear memory apart.
void wasmo_register_array_passes(llvm::PassBuilder &builder);

#endif
