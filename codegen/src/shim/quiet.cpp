//! Signalling NaNs become quiet where WebAssembly says so (core specification, 4.3.3, NaN propagation), though LLVM takes one for as good as the other.
//!
//! LLVM replaces x * 1, x - 0, or the demotion of a promotion of x by x, which stays signalling when it was. The translator sees a neutral operand
//! that is a constant in the source; others turn up only when calls are inlined, memory is forwarded or comparisons are known to hold. To hide
//! all operands would cost what LLVM can do with them. So the results are marked instead: before anything else runs, where the bits of a result
//! can be seen (it is stored, returned, passed on; not where it is computed with, since that again gives a quiet NaN), `llvm.canonicalize` is put behind it, which keeps
//! LLVM from nothing but to forget that the result is quiet. When LLVM has found the constants, what is marked is looked at again. A result that still
//! is one, as almost all are, needs no mark; where only a moved value is left, it is multiplied by a 1 that LLVM does not know.
//!
//! Invariant: after settling, no `llvm.canonicalize` is left. Hazard: a neutral constant found after that goes unnoticed; nothing but vectorisers and
//! what cleans up after them follows.

#include "quiet.h"
#include "llvm/ADT/SmallPtrSet.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/InstIterator.h"
#include "llvm/IR/IntrinsicInst.h"
#include "llvm/IR/Module.h"
#include "llvm/IR/PassManager.h"
#include "llvm/Passes/PassBuilder.h"

using namespace llvm;

namespace {

/// How many merged values are looked through in search of where a value comes from.
constexpr unsigned MERGES = 32;

/// The intrinsic function that `instruction` calls, if any.
Intrinsic::ID intrinsic(const Instruction &instruction) {
  const auto *call = dyn_cast<IntrinsicInst>(&instruction);
  return call ? call->getIntrinsicID() : Intrinsic::not_intrinsic;
}

/// Whether LLVM may replace `instruction` by a value that it computes with.
bool may_be_dropped(const Instruction &instruction) {
  switch (instruction.getOpcode()) {
  case Instruction::FAdd:
  case Instruction::FSub:
  case Instruction::FMul:
  case Instruction::FDiv:
  case Instruction::FPTrunc:
    return true;
  default:
    break;
  }
  switch (intrinsic(instruction)) {
  case Intrinsic::fma:
  case Intrinsic::maximum:
  case Intrinsic::minimum:
    return true;
  default:
    return false;
  }
}

/// Whether `instruction` gives no signalling NaN, whatever its operands are.
bool computes(const Instruction &instruction) {
  if (may_be_dropped(instruction) || isa<FPExtInst, SIToFPInst, UIToFPInst>(instruction))
    return true;
  switch (intrinsic(instruction)) {
  case Intrinsic::ceil:
  case Intrinsic::floor:
  case Intrinsic::roundeven:
  case Intrinsic::sqrt:
  case Intrinsic::trunc:
    return true;
  default:
    return false;
  }
}

/// Whether `user` makes of a signalling NaN and of a quiet one the same, or what cannot be told apart.
bool is_indifferent(const User *user) {
  const auto *instruction = dyn_cast<Instruction>(user);
  if (!instruction)
    return false;
  const Intrinsic::ID called = intrinsic(*instruction);
  return computes(*instruction) || isa<FCmpInst, FPToSIInst, FPToUIInst>(instruction) ||
         called == Intrinsic::fptosi_sat || called == Intrinsic::fptoui_sat;
}

/// Whether the bits that go through `use` can be seen. Vectors are cast back and forth between the operations on them.
bool shows_bits(const Use &use) {
  const User *user = use.getUser();
  if (is_indifferent(user))
    return false;
  const auto *cast = dyn_cast<BitCastInst>(user);
  if (!cast)
    return true;
  const Type *type = use.get()->getType();
  return any_of(cast->users(), [&](const User *again) {
    return !isa<BitCastInst>(again) || again->getType() != type || !all_of(again->users(), is_indifferent);
  });
}

bool mark(Instruction &instruction) {
  SmallVector<Use *, 4> seen;
  for (Use &use : instruction.uses())
    if (shows_bits(use))
      seen.push_back(&use);
  if (seen.empty())
    return false;
  IRBuilder<> builder(instruction.getNextNode());
  builder.SetCurrentDebugLocation(instruction.getDebugLoc());
  Value *marked = builder.CreateUnaryIntrinsic(Intrinsic::canonicalize, &instruction);
  for (Use *use : seen)
    use->set(marked);
  return true;
}

bool is_mark(const Instruction &instruction) { return intrinsic(instruction) == Intrinsic::canonicalize; }

/// Whether `call` changes nothing but the sign.
bool keeps_payload(const IntrinsicInst &call) {
  return call.getIntrinsicID() == Intrinsic::fabs || call.getIntrinsicID() == Intrinsic::copysign;
}

/// Whether `value` cannot be a signalling NaN: it is computed, or merged from such values.
bool is_quiet(Value *value) {
  SmallPtrSet<Value *, 8> seen;
  SmallVector<Value *, 8> open{value};
  while (!open.empty()) {
    Value *next = open.pop_back_val();
    if (!seen.insert(next).second)
      continue;
    if (seen.size() > MERGES)
      return false;
    if (auto *number = dyn_cast<ConstantFP>(next)) {
      if (number->getValueAPF().isSignaling())
        return false;
    } else if (isa<PoisonValue, UndefValue, ConstantAggregateZero>(next)) {
      continue;
    } else if (auto *phi = dyn_cast<PHINode>(next)) {
      append_range(open, phi->incoming_values());
    } else if (auto *select = dyn_cast<SelectInst>(next)) {
      open.push_back(select->getTrueValue());
      open.push_back(select->getFalseValue());
    } else if (auto *insert = dyn_cast<InsertElementInst>(next)) {
      open.push_back(insert->getOperand(0));
      open.push_back(insert->getOperand(1));
    } else if (auto *shuffle = dyn_cast<ShuffleVectorInst>(next)) {
      open.push_back(shuffle->getOperand(0));
      open.push_back(shuffle->getOperand(1));
    } else if (auto *extract = dyn_cast<ExtractElementInst>(next)) {
      open.push_back(extract->getVectorOperand());
    } else if (auto *negation = dyn_cast<UnaryOperator>(next)) {
      open.push_back(negation->getOperand(0));
    } else if (auto *freeze = dyn_cast<FreezeInst>(next)) {
      open.push_back(freeze->getOperand(0));
    } else if (auto *call = dyn_cast<IntrinsicInst>(next); call && keeps_payload(*call)) {
      open.push_back(call->getArgOperand(0));
    } else if (auto *instruction = dyn_cast<Instruction>(next);
               !instruction || !(computes(*instruction) || is_mark(*instruction))) {
      return false;
    }
  }
  return true;
}

struct SettleQuiet : PassInfoMixin<SettleQuiet> {
  static bool isRequired() { return true; }

  PreservedAnalyses run(Function &function, FunctionAnalysisManager &) {
    wasmo_settle_quiet(function);
    PreservedAnalyses preserved;
    preserved.preserveSet<CFGAnalyses>();
    return preserved;
  }
};

} // namespace

void wasmo_mark_quiet(Module &module) {
  for (Function &function : module)
    for (Instruction &instruction : make_early_inc_range(instructions(function)))
      if (may_be_dropped(instruction))
        mark(instruction);
}

void wasmo_settle_quiet(Function &function) {
  SmallVector<IntrinsicInst *, 16> marks;
  for (Instruction &instruction : instructions(function))
    if (is_mark(instruction))
      marks.push_back(cast<IntrinsicInst>(&instruction));
  // Marks count as quiet until all are judged, so none is removed before.
  SmallVector<IntrinsicInst *, 16> idle;
  for (IntrinsicInst *call : marks) {
    Value *value = call->getArgOperand(0);
    if (all_of(call->users(), is_indifferent) || is_quiet(value)) {
      idle.push_back(call);
      continue;
    }
    // At the head of the function, so that no loop has it.
    IRBuilder<> head(&*function.getEntryBlock().getFirstInsertionPt());
    Value *one = head.CreateUnaryIntrinsic(Intrinsic::arithmetic_fence, ConstantFP::get(value->getType(), 1.0));
    IRBuilder<> builder(call);
    call->replaceAllUsesWith(builder.CreateFMul(value, one));
    call->eraseFromParent();
  }
  for (IntrinsicInst *call : idle) {
    call->replaceAllUsesWith(call->getArgOperand(0));
    call->eraseFromParent();
  }
}

void wasmo_register_quiet_passes(PassBuilder &builder) {
  builder.registerVectorizerStartEPCallback(
      [](FunctionPassManager &passes, OptimizationLevel) { passes.addPass(SettleQuiet()); });
}
