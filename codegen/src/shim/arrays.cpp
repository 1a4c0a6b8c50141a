//! Arrays in linear memory, told apart for LLVM's loop vectoriser.
//!
//! All addresses of a linear memory derive from one pointer, so LLVM takes what a loop accesses for one object. Where the distance of two
//! accesses is unknown, the vectoriser compares their ranges when the loop is entered; but within one object it then compares every two
//! addresses, also those of which it knows the distance. A body that the producer of the wasm has unrolled accesses a[i] and a[i + 1]: their
//! ranges overlap, always, and the vectorised loop is never entered.
//!
//! So, just before the vectoriser runs, the addresses of each innermost loop are divided into rows, the distances within which are
//! constant, and each row gets a copy of the memory's base (`freeze`) to derive from. LLVM knows nothing of how two copies relate: they may alias, and
//! are compared, once for two rows; within a row it reasons as it does within an array of native code.
//!
//! Requires that the bases are known not to be undefined, whereby the next `instcombine`, which follows the vectoriser, removes the copies.

#include "arrays.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/Analysis/LoopInfo.h"
#include "llvm/Analysis/ScalarEvolution.h"
#include "llvm/Analysis/ScalarEvolutionExpressions.h"
#include "llvm/IR/Dominators.h"
#include "llvm/IR/Instructions.h"
#include "llvm/IR/Operator.h"
#include "llvm/IR/ValueHandle.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Transforms/Utils/Local.h"
#include "llvm/Transforms/Utils/LoopSimplify.h"

using namespace llvm;

namespace {

/// Loops with more addresses than this are left alone: the vectoriser would refuse to compare so many ranges.
constexpr size_t MAX_ADDRESSES = 64;

/// Addresses at constant distances from each other.
struct Row {
  /// What all of them derive from.
  Value *base;
  /// One of them.
  const SCEV *member;
  SmallVector<Instruction *, 4> accesses;
};

/// The pointer that `address` derives from.
Value *base_of(Value *address) {
  while (auto *gep = dyn_cast<GEPOperator>(address))
    address = gep->getPointerOperand();
  return address;
}

/// `address`, derived from `copy` instead of its base. `made` holds what was derived already.
Value *derive(Value *address, Value *base, Instruction *copy, const Loop &loop, DenseMap<Value *, Value *> &made) {
  if (address == base)
    return copy;
  if (Value *known = made.lookup(address))
    return known;
  auto *gep = cast<GetElementPtrInst>(address);
  Value *from = derive(gep->getPointerOperand(), base, copy, loop, made);
  Instruction *clone = gep->clone();
  clone->setOperand(GetElementPtrInst::getPointerOperandIndex(), from);
  // What was computed before the loop may have been computed before the copy was made.
  clone->insertBefore(loop.contains(gep) ? gep->getIterator() : loop.getLoopPreheader()->getTerminator()->getIterator());
  return made[address] = clone;
}

/// Whether `address` consists of instructions that `derive` can repeat, down to a base outside of `loop`.
bool can_derive(Value *address, const Loop &loop) {
  while (auto *gep = dyn_cast<GetElementPtrInst>(address))
    address = gep->getPointerOperand();
  return (isa<Instruction>(address) || isa<Argument>(address)) && loop.isLoopInvariant(address);
}

/// Divides what `loop` accesses into rows; none when that cannot help.
SmallVector<Row, 8> rows_of(const Loop &loop, ScalarEvolution &evolution) {
  SmallVector<Row, 8> rows;
  size_t addresses = 0;
  bool written = false;
  for (BasicBlock *block : loop.blocks()) {
    for (Instruction &access : *block) {
      Value *address = getLoadStorePointerOperand(&access);
      if (address == nullptr || !can_derive(address, loop))
        continue;
      if (++addresses > MAX_ADDRESSES)
        return {};
      Value *base = base_of(address);
      const SCEV *position = evolution.getSCEV(address);
      Row *row = find_if(rows, [&](const Row &row) {
        return row.base == base && isa<SCEVConstant>(evolution.getMinusSCEV(position, row.member));
      });
      if (row == rows.end()) {
        rows.push_back({base, position, {}});
        row = &rows.back();
      }
      row->accesses.push_back(&access);
      written |= isa<StoreInst>(access);
    }
  }
  if (!written)
    rows.clear();
  return rows;
}

bool tell_apart(const Loop &loop, ScalarEvolution &evolution) {
  BasicBlock *preheader = loop.getLoopPreheader();
  if (preheader == nullptr)
    return false;
  SmallVector<Row, 8> rows = rows_of(loop, evolution);
  // A row that shares its base with no other is an object of its own already.
  auto is_alone = [&](const Row &row) { return count_if(rows, [&](const Row &other) { return other.base == row.base; }) == 1; };
  SmallVector<WeakTrackingVH, 16> replaced;
  for (Row &row : rows) {
    if (is_alone(row))
      continue;
    auto *copy = new FreezeInst(row.base, "", preheader->getTerminator()->getIterator());
    DenseMap<Value *, Value *> made;
    for (Instruction *access : row.accesses) {
      Value *address = getLoadStorePointerOperand(access);
      access->setOperand(isa<StoreInst>(access) ? StoreInst::getPointerOperandIndex() : LoadInst::getPointerOperandIndex(),
                         derive(address, row.base, copy, loop, made));
      replaced.push_back(address);
    }
  }
  bool changed = !replaced.empty();
  // Only now: a new instruction could be where a deleted one was, which `made` remembers.
  RecursivelyDeleteTriviallyDeadInstructionsPermissive(replaced);
  return changed;
}

struct TellArraysApart : PassInfoMixin<TellArraysApart> {
  PreservedAnalyses run(Function &function, FunctionAnalysisManager &analyses) {
    LoopInfo &loops = analyses.getResult<LoopAnalysis>(function);
    if (loops.empty())
      return PreservedAnalyses::all();
    ScalarEvolution &evolution = analyses.getResult<ScalarEvolutionAnalysis>(function);
    bool changed = false;
    for (Loop *loop : loops.getLoopsInPreorder())
      if (loop->isInnermost())
        changed |= tell_apart(*loop, evolution);
    if (!changed)
      return PreservedAnalyses::all();
    PreservedAnalyses preserved;
    preserved.preserveSet<CFGAnalyses>();
    preserved.preserve<ScalarEvolutionAnalysis>();
    return preserved;
  }
};

} // namespace

void wasmo_register_array_passes(PassBuilder &builder) {
  builder.registerVectorizerStartEPCallback([](FunctionPassManager &passes, OptimizationLevel) {
    // Gives each loop the preheader that the copies go to.
    passes.addPass(LoopSimplifyPass());
    passes.addPass(TellArraysApart());
  });
}
