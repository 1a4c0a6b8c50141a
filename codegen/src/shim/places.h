//! See places.cpp.

#ifndef WASMO_PLACES_H
#define WASMO_PLACES_H

namespace llvm {
class Function;
}

/// Gives each instruction of `function` that may become one with a load the load's place.
void wasmo_place_loads(llvm::Function &function);

#endif
