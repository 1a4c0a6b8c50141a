//! Which operator an instruction of the processor belongs to that does what two of LLVM's do.
//!
//! Instruction selection makes one of a load and of what computes with its result: an addition with an operand in memory on x86-64, a load of one lane of a vector on AArch64. It has the place of
//! the latter, and the load may trap: in a function that was inlined, of which the backtrace would then know nothing. What computes traps nowhere, so its place is of no
//! use to anybody, and it gets the load's. Where it computes with two loads, the second is the one that selection prefers.

#include "places.h"
#include "llvm/IR/Function.h"
#include "llvm/IR/InstIterator.h"
#include "llvm/IR/Instructions.h"
#include "llvm/IR/IntrinsicInst.h"

using namespace llvm;

namespace {

/// Whether `user` only computes, so that nobody asks for its place.
bool computes(const Instruction &user) {
  if (isa<PHINode>(user) || user.isTerminator() || user.mayReadOrWriteMemory() || user.mayHaveSideEffects())
    return false;
  return !isa<CallBase>(user) || isa<IntrinsicInst>(user);
}

} // namespace

void wasmo_place_loads(Function &function) {
  for (Instruction &instruction : instructions(function)) {
    auto *load = dyn_cast<LoadInst>(&instruction);
    if (!load || !load->getDebugLoc())
      continue;
    // Casts are nothing, or part of the load.
    for (Instruction *value = load; value && value->hasOneUse();) {
      auto *user = cast<Instruction>(*value->user_begin());
      if (user->getParent() != load->getParent() || !computes(*user))
        break;
      user->setDebugLoc(load->getDebugLoc());
      value = dyn_cast<CastInst>(user);
    }
  }
}
